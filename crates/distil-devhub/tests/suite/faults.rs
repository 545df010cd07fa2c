//! Everything that goes wrong to order.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use distil_devhub::{Fault, FaultKind, Server};
use reqwest::header::RANGE;
use serde_json::Value;

use crate::common::{Scene, WEIGHTS_BYTES, has, header, scene, weights};

const CONFIG: &str = "/alice/tiny/resolve/main/config.json";
const INFO: &str = "/api/models/alice/tiny?blobs=true";

/// How long a server is listened to that is to stay silent. A silence of the right kind is found however short this is.
const SILENCE: Duration = Duration::from_millis(300);

/// Sends a request over a bare socket and reads until the server closes. Where it is to stay silent once that many
/// bytes of the body came (0: before anything came), it is listened to for a short while only.
fn raw(origin: &str, path: &str, silent_after: Option<usize>) -> (Vec<u8>, Result<(), ErrorKind>) {
    let mut stream = TcpStream::connect(origin.strip_prefix("http://").unwrap()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        let is_time = silent_after.is_some_and(|bytes| bytes == 0 || body_of(&received).len() >= bytes);
        stream.set_read_timeout(Some(if is_time { SILENCE } else { Duration::from_secs(20) })).unwrap();
        match stream.read(&mut buffer) {
            Ok(0) => return (received, Ok(())),
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            Err(error) => return (received, Err(error.kind())),
        }
    }
}

fn body_of(received: &[u8]) -> &[u8] {
    let head = received.windows(4).position(|window| window == b"\r\n\r\n");
    head.map_or(&[], |head| &received[head + 4..])
}

/// Body bytes of the content server's answer over a bare socket, its announced length, and how it ended.
fn raw_content(scene: &Scene, silent_after: Option<usize>) -> (Vec<u8>, u64, Result<(), ErrorKind>) {
    let url = scene.content_url();
    let origin = scene.hub.cdn_endpoint();
    let (received, end) = raw(&origin, url.strip_prefix(&origin).unwrap(), silent_after);
    let body = body_of(&received);
    let head = String::from_utf8(received[..received.len() - body.len()].to_vec()).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    (body.to_vec(), length, end)
}

fn is_silence(end: Result<(), ErrorKind>) -> bool {
    matches!(end, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn statuses_come_with_or_without_retry_after() {
    let scene = scene();
    for (status, retry_after) in [(500, None), (429, Some("7")), (503, Some("Wed, 21 Oct 2026 07:28:00 GMT"))] {
        let retry_after = retry_after.map(str::to_owned);
        let kind = FaultKind::Status { status, retry_after: retry_after.clone() };
        scene.hub.order(Fault::new(kind).on("/api/").times(1));
        let response = scene.get(INFO);
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned()), retry_after);
        assert!(response.json::<Value>().unwrap()["error"].is_string());
        assert_eq!(scene.get(INFO).status(), 200);
    }
}

#[test]
fn a_fault_strikes_the_requests_it_is_for() {
    let scene = scene();
    let busy = || Fault::new(FaultKind::Status { status: 503, retry_after: None });
    let statuses = |count: usize| (0..count).map(|_| scene.get(CONFIG).status().as_u16()).collect::<Vec<_>>();

    scene.hub.order(busy().on("/alice/").on("config").after(1).times(2));
    assert_eq!(scene.get(INFO).status(), 200);
    assert_eq!(statuses(4), [200, 503, 503, 200]);

    scene.hub.order(busy().method("head"));
    assert_eq!((scene.head(CONFIG).status().as_u16(), statuses(1)), (503, vec![200]));
    scene.hub.clear_faults();
    assert_eq!(scene.head(CONFIG).status(), 200);

    // The text is looked for in the path as sent and as decoded.
    scene.hub.order(busy().on("two words"));
    assert_eq!(scene.get("/alice/tiny/resolve/main/notes/two%20words.txt").status(), 503);
    scene.hub.clear_faults();

    scene.hub.order(busy().at(Server::Cdn));
    assert_eq!((statuses(1), scene.content(None).unwrap().status().as_u16()), (vec![200], 503));
    scene.hub.clear_faults();

    // Of two for the same request the older one strikes until it has run out.
    scene.hub.order(busy().times(1));
    scene.hub.order(Fault::new(FaultKind::NotJson).times(1));
    assert_eq!(
        (statuses(1), header(&scene.get(CONFIG), "content-type")),
        (vec![503], "text/html; charset=utf-8".into())
    );
    assert_eq!(statuses(1), [200]);
}

#[test]
fn faults_of_bodies_are_not_used_up_by_redirects_and_heads() {
    let scene = scene();
    scene.hub.order(Fault::new(FaultKind::CutBodyAfter(10)).on("weights.bin").times(1));
    assert_eq!(scene.head("/alice/tiny/resolve/main/weights.bin").status(), 302);
    assert_eq!(scene.client.head(scene.content_url()).send().unwrap().status(), 200);
    let (body, _, end) = raw_content(&scene, None);
    assert_eq!((body.len(), end), (10, Ok(())));
    assert!(scene.content(None).unwrap().bytes().unwrap() == weights());
}

#[test]
fn connections_that_give_no_answer() {
    let scene = scene();
    let origin = scene.hub.endpoint();
    for (kind, expected) in
        [(FaultKind::CloseBeforeAnswer, Ok(())), (FaultKind::Reset, Err(ErrorKind::ConnectionReset))]
    {
        scene.hub.order(Fault::new(kind).times(1));
        assert_eq!(raw(&origin, CONFIG, None), (Vec::new(), expected));
    }
    scene.hub.order(Fault::new(FaultKind::NeverAnswer).times(1));
    let (received, end) = raw(&origin, CONFIG, Some(0));
    assert!(received.is_empty() && is_silence(end));
    assert!(scene.hub.requests().iter().all(|request| request.status.is_none()));
    assert_eq!(scene.get(CONFIG).status(), 200);
}

#[test]
fn a_server_with_silent_connections_can_be_dropped() {
    let scene = scene();
    scene.hub.order(Fault::new(FaultKind::NeverAnswer));
    let mut stream = TcpStream::connect(scene.hub.endpoint().strip_prefix("http://").unwrap()).unwrap();
    write!(stream, "GET {CONFIG} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    while scene.hub.requests().is_empty() {
        std::thread::yield_now();
    }
    drop(scene);
    assert!(!matches!(stream.read(&mut [0; 16]), Ok(1..)));
}

#[test]
fn bodies_break_off() {
    let scene = scene();
    // Within the first chunk, at its end, and beyond what a socket's buffers hold.
    for bytes in [0u64, 1, 1000, 262_144, 600_000] {
        scene.hub.order(Fault::new(FaultKind::CutBodyAfter(bytes)).on("/cdn/").times(1));
        let (body, announced, end) = raw_content(&scene, None);
        assert_eq!((body.len() as u64, announced, end), (bytes, WEIGHTS_BYTES as u64, Ok(())));
        assert!(body == weights()[..bytes as usize]);
        assert_eq!(scene.hub.requests().last().unwrap().body_bytes, bytes);
    }
    scene.hub.order(Fault::new(FaultKind::ResetBodyAfter(1000)).on("/cdn/").times(1));
    let (body, _, end) = raw_content(&scene, None);
    assert!(body.len() <= 1000 && end == Err(ErrorKind::ConnectionReset));
    scene.hub.order(Fault::new(FaultKind::StallBodyAfter(1000)).on("/cdn/").times(1));
    let (body, announced, end) = raw_content(&scene, Some(1000));
    assert!(body.len() == 1000 && announced == WEIGHTS_BYTES as u64 && is_silence(end));

    // A client of its own right sees the cut too; a part that is shorter than the cut is whole.
    scene.hub.order(Fault::new(FaultKind::CutBodyAfter(1000)).on("/cdn/"));
    assert!(scene.content(None).unwrap().bytes().is_err());
    assert!(scene.content(Some("bytes=0-999")).unwrap().bytes().unwrap() == weights()[..1000]);
    // JSON is cut as well.
    scene.hub.order(Fault::new(FaultKind::CutBodyAfter(5)).on("/api/"));
    assert!(scene.get(INFO).bytes().is_err());
}

#[test]
fn lengths_are_announced_wrong() {
    let scene = scene();
    scene.hub.order(Fault::new(FaultKind::WrongLength(5)).on("/cdn/").times(1));
    let (body, announced, end) = raw_content(&scene, None);
    assert_eq!((body.len(), announced, end), (WEIGHTS_BYTES, WEIGHTS_BYTES as u64 + 5, Ok(())));
    scene.hub.order(Fault::new(FaultKind::WrongLength(-5)).on("/cdn/").times(2));
    let response = scene.content(None).unwrap();
    assert_eq!(response.content_length(), Some(WEIGHTS_BYTES as u64 - 5));
    assert!(response.bytes().unwrap() == weights()[..WEIGHTS_BYTES - 5]);
    let head = scene.client.head(scene.content_url()).send().unwrap();
    assert_eq!(header(&head, "content-length"), (WEIGHTS_BYTES - 5).to_string());
}

#[test]
fn a_flipped_byte_is_flipped_in_every_range_that_holds_it() {
    let scene = scene();
    let place = 300_000;
    scene.hub.order(Fault::new(FaultKind::FlipByte(place as u64)));
    let mut spoilt = weights();
    spoilt[place] ^= 0xff;
    assert!(scene.content(None).unwrap().bytes().unwrap() == spoilt);
    let range = format!("bytes={}-{}", place - 3, place + 3);
    assert!(scene.content(Some(&range)).unwrap().bytes().unwrap() == spoilt[place - 3..place + 4]);
    assert!(scene.content(Some("bytes=0-9")).unwrap().bytes().unwrap() == weights()[..10]);
}

#[test]
fn ranges_are_ignored_to_order() {
    let scene = scene();
    scene.hub.order(Fault::new(FaultKind::IgnoreRange).times(1));
    // A request without a range is nothing to ignore.
    assert_eq!(scene.content(None).unwrap().status(), 200);
    let response = scene.content(Some("bytes=5-9")).unwrap();
    assert_eq!((response.status().as_u16(), has(&response, "content-range")), (200, false));
    assert!(response.bytes().unwrap() == weights());
    assert_eq!(scene.content(Some("bytes=5-9")).unwrap().status(), 206);
    let asked: Vec<_> = scene.hub.requests().into_iter().filter_map(|request| request.range).collect();
    assert_eq!(asked, ["bytes=5-9", "bytes=5-9"]);
}

#[test]
fn sizes_are_lied_about() {
    let scene = scene();
    scene.hub.order(Fault::new(FaultKind::LieAboutSize(9)));
    let info = scene.json(INFO);
    assert_eq!((&info["siblings"][3]["size"], &info["siblings"][3]["lfs"]["size"]), (&9.into(), &9.into()));
    assert_eq!(scene.json("/api/models/alice/tiny/tree/main")[0]["size"], 9);
    assert_eq!(header(&scene.head("/alice/tiny/resolve/main/weights.bin"), "x-linked-size"), "9");
    let response = scene.content(Some("bytes=0-3")).unwrap();
    assert_eq!((header(&response, "content-range"), response.bytes().unwrap().len()), ("bytes 0-3/9".to_owned(), 4));
}

#[test]
fn etags_are_dropped() {
    let scene = scene();
    scene.hub.order(Fault::new(FaultKind::DropEtag));
    for path in [INFO, CONFIG, "/alice/tiny/resolve/main/weights.bin"] {
        let response = scene.get(path);
        assert!(!has(&response, "etag") && !has(&response, "x-linked-etag"), "{path}");
    }
}

#[test]
fn json_is_oversized_no_json_or_whatever_is_ordered() {
    let scene = scene();
    scene.hub.order(Fault::new(FaultKind::OversizedJson(3_000_000)).on("/api/").times(1));
    let response = scene.get(INFO);
    assert_eq!(response.content_length(), None);
    let body = response.bytes().unwrap();
    assert_eq!(body.len(), 3_000_000);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["sha"], scene.commit.as_str());

    scene.hub.order(Fault::new(FaultKind::NotJson).on("/api/").times(1));
    let response = scene.get(INFO);
    assert_eq!(response.status(), 200);
    assert!(response.json::<Value>().is_err());

    let hostile = r#"{"id":"alice/tiny","siblings":[{"rfilename":"../../x"}]}"#;
    scene.hub.order(Fault::new(FaultKind::AnswerWith(hostile.to_owned())).on("/api/").times(1));
    let response = scene.get(INFO);
    assert_eq!(header(&response, "content-type"), "application/json; charset=utf-8");
    assert_eq!(response.text().unwrap(), hostile);

    let location = "http://127.0.0.1:1/elsewhere";
    scene.hub.order(Fault::new(FaultKind::Redirect { status: 302, location: location.to_owned() }).times(1));
    assert_eq!(header(&scene.get(INFO), "location"), location);
}

#[test]
fn slow_bodies_come_piece_by_piece_and_whole() {
    let scene = scene();
    scene.hub.order(Fault::new(FaultKind::SlowBody { bytes_per_second: 1000 }));
    // The rate holds from below: 100 bytes at 1,000 a second cannot take less than a tenth.
    let before = std::time::Instant::now();
    let response = scene.request("/alice/tiny/resolve/main/weights.bin").send().unwrap();
    let url = header(&response, "location");
    let body = scene.client.get(url).header(RANGE, "bytes=0-99").send().unwrap().bytes().unwrap();
    assert!(body == weights()[..100]);
    assert!(before.elapsed() >= Duration::from_millis(100));
}

#[test]
fn several_faults_change_one_answer() {
    let scene = scene();
    scene.hub.order(Fault::new(FaultKind::IgnoreRange).on("/cdn/"));
    scene.hub.order(Fault::new(FaultKind::FlipByte(1)).on("/cdn/"));
    scene.hub.order(Fault::new(FaultKind::DropEtag).on("/cdn/"));
    let response = scene.content(Some("bytes=3-4")).unwrap();
    assert_eq!((response.status().as_u16(), has(&response, "etag")), (200, false));
    assert_eq!(response.bytes().unwrap()[..3], [0, 0xfe, 2]);
}
