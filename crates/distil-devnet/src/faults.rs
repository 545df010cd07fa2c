//! Faults to order.

use crate::DevNetError;
use std::str::FromStr;
use std::time::Duration;

/// What is done to a request, its answer, or a message of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The request is not carried out: the connection breaks instead.
    Drop,
    /// The request is carried out, then the connection breaks without an answer. Of a submission the client cannot tell
    /// whether it arrived.
    LoseAnswer,
    /// The request is carried out and never answered; the connection stays.
    SwallowAnswer,
    /// The request is not carried out and never answered; the connection stays.
    NeverAnswer,
    /// From this request on nothing on the connection is read, answered or sent; it stays open.
    Silence,
    /// The request is carried out and answered after this time; others go ahead of it.
    Delay(Duration),
    /// The request is not carried out; the answer is an error with this code.
    Error(i32),
    /// The pool refuses the transaction with this code: 1010 (invalid), 1012 (banned), 1013 (already imported), 1014
    /// (priority too low) or 1016 (dropped). Strikes submissions alone.
    PoolError(i32),
    /// The answer is one that a chain would give on which every subnet has this many neurons at most: a metagraph that
    /// cannot be true. Strikes reads of storage and runtime calls.
    Neurons(u16),
    /// A subscription's message comes twice.
    DuplicateMessage,
    /// A subscription's message does not come.
    LoseMessage,
}

/// What a fault can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Request,
    Message,
}

const SUBMISSIONS: [&str; 2] = ["author_submitExtrinsic", "author_submitAndWatchExtrinsic"];

impl FaultKind {
    fn strikes(&self, target: Target, method: &str) -> bool {
        let kind = match self {
            FaultKind::DuplicateMessage | FaultKind::LoseMessage => Target::Message,
            _ => Target::Request,
        };
        let fits = match self {
            FaultKind::PoolError(_) => SUBMISSIONS.contains(&method),
            FaultKind::Neurons(_) => method.starts_with("state_"),
            // The operator's own requests are never struck.
            _ => !method.starts_with("devnet_"),
        };
        kind == target && fits
    }
}

/// A fault, and for what: by default everything that it can strike, for ever.
///
/// ```
/// use distil_devnet::{Fault, FaultKind};
///
/// // The answer to the next submission is lost: was it taken?
/// let ambiguous = Fault::new(FaultKind::LoseAnswer).on("author_submitAndWatchExtrinsic").times(1);
/// // The connection breaks with the eleventh request.
/// let broken = Fault::new(FaultKind::Drop).after(10).times(1);
/// assert_eq!(broken, "drop;after=10;times=1".parse()?);
/// # Ok::<(), distil_devnet::DevNetError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: FaultKind,
    methods: Vec<String>,
    after: u64,
    times: Option<u64>,
}

impl Fault {
    /// This fault for all that it can strike.
    pub fn new(kind: FaultKind) -> Self {
        Fault { kind, methods: Vec::new(), after: 0, times: None }
    }

    /// Only for this method, or for messages that bear this name (`chain_newHead`, `chain_finalizedHead`,
    /// `author_extrinsicUpdate`, ...). Given more than once, any of them.
    pub fn on(mut self, method: &str) -> Self {
        self.methods.push(method.to_owned());
        self
    }

    /// Passes over this many first.
    pub fn after(mut self, count: u64) -> Self {
        self.after = count;
        self
    }

    /// Strikes this often, then no more.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    fn matches(&self, target: Target, method: &str) -> bool {
        self.kind.strikes(target, method) && (self.methods.is_empty() || self.methods.iter().any(|name| name == method))
    }
}

/// Reads `kind[=value]` and then, each after a semicolon, any of `on=METHOD`, `after=N`, `times=N`. The kinds are `drop`,
/// `lose-answer`, `swallow-answer`, `never-answer`, `silence`, `delay=MILLISECONDS`, `error=CODE`, `pool-error=CODE`,
/// `neurons=N`, `duplicate-message` and `lose-message`.
impl FromStr for Fault {
    type Err = DevNetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| DevNetError::FaultText { text: text.chars().take(200).collect(), problem })
    }
}

fn parse(text: &str) -> Result<Fault, String> {
    let mut items = text.split(';').map(|item| match item.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (item, None),
    });
    let (name, value) = items.next().unwrap_or_default();
    let mut fault = Fault::new(parse_kind(name, value)?);
    for (name, value) in items {
        let value = value.ok_or_else(|| format!("{name:?} needs a value, as in {name}=..."))?;
        fault = match name {
            "on" => fault.on(value),
            "after" => fault.after(number(name, value)?),
            "times" => fault.times(number(name, value)?),
            other => return Err(format!("{other:?} is none of on, after, times")),
        };
    }
    Ok(fault)
}

fn parse_kind(name: &str, value: Option<&str>) -> Result<FaultKind, String> {
    let given = value.ok_or_else(|| format!("{name} needs a number, as in {name}=1"));
    let without_value = match name {
        "drop" => Some(FaultKind::Drop),
        "lose-answer" => Some(FaultKind::LoseAnswer),
        "swallow-answer" => Some(FaultKind::SwallowAnswer),
        "never-answer" => Some(FaultKind::NeverAnswer),
        "silence" => Some(FaultKind::Silence),
        "duplicate-message" => Some(FaultKind::DuplicateMessage),
        "lose-message" => Some(FaultKind::LoseMessage),
        _ => None,
    };
    if let Some(kind) = without_value {
        return if value.is_some() { Err(format!("{name} takes no value")) } else { Ok(kind) };
    }
    Ok(match name {
        "delay" => FaultKind::Delay(Duration::from_millis(number(name, given?)?)),
        "error" => FaultKind::Error(number(name, given?)?),
        "pool-error" => match number(name, given?)? {
            code @ (1010 | 1012 | 1013 | 1014 | 1016) => FaultKind::PoolError(code),
            code => return Err(format!("pool-error {code} is none of 1010, 1012, 1013, 1014, 1016")),
        },
        "neurons" => FaultKind::Neurons(number(name, given?)?),
        other => return Err(format!("{other:?} is no kind of fault; see the documentation of Fault for all of them")),
    })
}

fn number<N: FromStr>(name: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{name}={text:?} is not a whole number in range"))
}

/// The faults that were ordered, and how often each was met.
#[derive(Debug, Default)]
pub(crate) struct FaultBook(Vec<Ordered>);

#[derive(Debug)]
struct Ordered {
    fault: Fault,
    met: u64,
    struck: u64,
}

impl FaultBook {
    pub(crate) fn order(&mut self, fault: Fault) {
        self.0.push(Ordered { fault, met: 0, struck: 0 });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that strikes here: of several the one ordered first. All of them count what they meet.
    pub(crate) fn take(&mut self, target: Target, method: &str) -> Option<FaultKind> {
        let mut struck = None;
        for ordered in self.0.iter_mut().filter(|ordered| ordered.fault.matches(target, method)) {
            ordered.met += 1;
            let is_over = ordered.fault.times.is_some_and(|times| ordered.struck >= times);
            if struck.is_none() && !is_over && ordered.met > ordered.fault.after {
                ordered.struck += 1;
                struck = Some(ordered.fault.kind.clone());
            }
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fault_strikes_what_it_was_ordered_for() {
        let mut book = FaultBook::default();
        book.order(Fault::new(FaultKind::PoolError(1012)).after(1).times(1));
        book.order(Fault::new(FaultKind::DuplicateMessage).on("chain_newHead"));
        assert_eq!(book.take(Target::Request, "state_call"), None);
        assert_eq!(book.take(Target::Request, "author_submitExtrinsic"), None);
        assert_eq!(book.take(Target::Request, "author_submitExtrinsic"), Some(FaultKind::PoolError(1012)));
        assert_eq!(book.take(Target::Request, "author_submitExtrinsic"), None);
        assert_eq!(book.take(Target::Message, "chain_newHead"), Some(FaultKind::DuplicateMessage));
        assert_eq!(book.take(Target::Message, "chain_allHead"), None);
        book.order(Fault::new(FaultKind::Drop));
        assert_eq!(book.take(Target::Request, "devnet_clearFaults"), None);
    }

    #[test]
    fn faults_are_read_from_text() {
        let expected = Fault::new(FaultKind::Delay(Duration::from_millis(50))).on("state_call").on("chain_getBlock");
        assert_eq!("delay=50;on=state_call;on=chain_getBlock".parse::<Fault>().unwrap(), expected);
        assert_eq!("neurons=1;times=2".parse::<Fault>().unwrap(), Fault::new(FaultKind::Neurons(1)).times(2));
        for bad in ["", "drop=1", "delay", "delay=x", "pool-error=1015", "boom", "drop;times", "drop;x=1", "error=1e3"]
        {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_fault_or_an_error(text in "\\PC{0,60}|(drop|delay|pool-error)(=[0-9]{0,5})?(;(on|times|after)=[a-z0-9]{0,4}){0,3}") {
            let _ = text.parse::<Fault>();
        }
    }
}
