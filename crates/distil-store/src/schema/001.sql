-- A miner is (hotkey, commit_block). Hotkeys are ss58 addresses, revisions 40 hexadecimal digits, digests 32 bytes,
-- `..._unix_ms` milliseconds since 1970. Columns of JSON are documents that nothing is searched by.

CREATE TABLE subnet (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    netuid INTEGER NOT NULL,
    genesis TEXT NOT NULL
) STRICT;

-- Commitments as first seen ------------------------------------------------------------------------------------------

CREATE TABLE snapshots (
    block INTEGER PRIMARY KEY,
    block_hash TEXT NOT NULL,
    seen_unix_ms INTEGER NOT NULL,
    miners INTEGER NOT NULL
) STRICT;

CREATE TABLE seen_miners (
    hotkey TEXT NOT NULL,
    registration_block INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    commit_block INTEGER,
    model TEXT,
    revision TEXT,
    none_code TEXT,
    none_sentence TEXT,
    first_seen_block INTEGER NOT NULL,
    last_seen_block INTEGER NOT NULL,
    last_seen_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (hotkey, registration_block),
    CHECK ((commit_block IS NULL) = (model IS NULL)),
    CHECK ((commit_block IS NULL) = (revision IS NULL)),
    CHECK ((commit_block IS NULL) = (none_code IS NOT NULL)),
    CHECK ((commit_block IS NULL) = (none_sentence IS NOT NULL))
) STRICT;

CREATE TABLE first_entries (
    hotkey TEXT NOT NULL,
    registration_block INTEGER NOT NULL,
    reveal_block INTEGER NOT NULL,
    bytes BLOB NOT NULL CHECK (length(bytes) <= 1024),
    trusted INTEGER NOT NULL CHECK (trusted IN (0, 1)),
    seen_block INTEGER NOT NULL,
    seen_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (hotkey, registration_block)
) STRICT;
CREATE TRIGGER first_entries_never_change BEFORE UPDATE ON first_entries
BEGIN SELECT RAISE(ABORT, 'the first entry of a miner never changes'); END;
CREATE TRIGGER first_entries_are_kept BEFORE DELETE ON first_entries
BEGIN SELECT RAISE(ABORT, 'the first entry of a miner is kept'); END;

-- Verdicts -----------------------------------------------------------------------------------------------------------

CREATE TABLE checks (
    hotkey TEXT NOT NULL,
    commit_block INTEGER NOT NULL,
    model TEXT NOT NULL,
    revision TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('passed', 'invalid', 'waiting')),
    codes TEXT,
    sentence TEXT,
    tries INTEGER,
    not_before_unix_s INTEGER,
    report TEXT NOT NULL,
    repository TEXT,
    checked_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (hotkey, commit_block),
    CHECK ((state = 'invalid') = (codes IS NOT NULL)),
    CHECK ((state = 'passed') = (sentence IS NULL)),
    CHECK ((state = 'waiting') = (tries IS NOT NULL)),
    CHECK ((state = 'waiting') = (not_before_unix_s IS NOT NULL))
) STRICT;

-- Digests of the tensors' values. A revision is no digest, and the two kinds are never compared with each other.
CREATE TABLE tensor_digests (
    hotkey TEXT NOT NULL,
    commit_block INTEGER NOT NULL,
    model TEXT NOT NULL,
    revision TEXT NOT NULL,
    raw BLOB NOT NULL CHECK (length(raw) = 32),
    bf16 BLOB NOT NULL CHECK (length(bf16) = 32),
    recorded_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (hotkey, commit_block)
) STRICT;
CREATE INDEX tensor_digests_by_raw ON tensor_digests (raw);
CREATE INDEX tensor_digests_by_bf16 ON tensor_digests (bf16);

CREATE TABLE disqualifications (
    id INTEGER PRIMARY KEY,
    hotkey TEXT NOT NULL,
    commit_block INTEGER NOT NULL,
    code TEXT NOT NULL CHECK (code IN ('COPY', 'REMOVED', 'INVALID')),
    sentence TEXT NOT NULL,
    evidence TEXT NOT NULL,
    block INTEGER NOT NULL,
    round INTEGER REFERENCES rounds (id),
    disqualified_unix_ms INTEGER NOT NULL,
    lifted_unix_ms INTEGER,
    lifted_reason TEXT,
    CHECK ((lifted_unix_ms IS NULL) = (lifted_reason IS NULL))
) STRICT;
CREATE UNIQUE INDEX one_standing_disqualification ON disqualifications (hotkey, commit_block)
    WHERE lifted_unix_ms IS NULL;
CREATE INDEX disqualifications_by_miner ON disqualifications (hotkey, commit_block);

CREATE TABLE failures (
    hotkey TEXT NOT NULL,
    commit_block INTEGER NOT NULL,
    round INTEGER NOT NULL REFERENCES rounds (id),
    reason TEXT NOT NULL,
    failed_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (hotkey, commit_block, round)
) STRICT;

-- What kept a miner from a result since its last one, at most once for each block.
CREATE TABLE interruptions (
    hotkey TEXT NOT NULL,
    commit_block INTEGER NOT NULL,
    block INTEGER NOT NULL,
    reason TEXT NOT NULL,
    interrupted_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (hotkey, commit_block, block)
) STRICT;

CREATE TABLE evaluated (
    hotkey TEXT NOT NULL,
    commit_block INTEGER NOT NULL,
    round INTEGER NOT NULL REFERENCES rounds (id),
    evaluation TEXT NOT NULL,
    PRIMARY KEY (hotkey, commit_block)
) STRICT;

-- What each finished or void round said of each of its students.
CREATE TABLE verdicts (
    round INTEGER NOT NULL REFERENCES rounds (id),
    position INTEGER NOT NULL,
    hotkey TEXT NOT NULL,
    commit_block INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    PRIMARY KEY (round, position)
) STRICT;
CREATE INDEX verdicts_by_miner ON verdicts (hotkey, commit_block, round);

-- Rounds -------------------------------------------------------------------------------------------------------------

CREATE TABLE rounds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    round_id TEXT NOT NULL,
    block INTEGER NOT NULL,
    block_hash TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'decided', 'finished', 'void')),
    is_open INTEGER GENERATED ALWAYS AS (CASE WHEN state IN ('open', 'decided') THEN 1 END) VIRTUAL,
    king_hotkey TEXT,
    king_commit_block INTEGER,
    plan TEXT NOT NULL,
    settings TEXT NOT NULL,
    begun_unix_ms INTEGER NOT NULL,
    teacher TEXT,
    teacher_cache_key TEXT,
    decision TEXT,
    outcome TEXT,
    decided_unix_ms INTEGER,
    ended_unix_ms INTEGER,
    void_reason TEXT,
    record_path TEXT,
    record_digest BLOB CHECK (length(record_digest) = 32),
    CHECK ((king_hotkey IS NULL) = (king_commit_block IS NULL)),
    CHECK ((state = 'void') = (void_reason IS NOT NULL)),
    CHECK ((state IN ('finished', 'void')) = (ended_unix_ms IS NOT NULL)),
    CHECK (state <> 'decided' OR decision IS NOT NULL),
    CHECK (state <> 'finished' OR outcome IS NOT NULL),
    CHECK (record_path IS NULL OR (state IN ('finished', 'void') AND outcome IS NOT NULL)),
    CHECK ((record_path IS NULL) = (record_digest IS NULL))
) STRICT;
CREATE UNIQUE INDEX one_open_round ON rounds (is_open);
CREATE UNIQUE INDEX one_finished_round_of_a_block ON rounds (block_hash) WHERE state = 'finished';
CREATE TRIGGER ended_rounds_never_change
BEFORE UPDATE OF round_id, block, block_hash, state, king_hotkey, king_commit_block, plan, settings, begun_unix_ms, teacher,
    teacher_cache_key, decision, outcome, decided_unix_ms, ended_unix_ms,
    void_reason ON rounds
WHEN OLD.state IN ('finished', 'void')
BEGIN SELECT RAISE(ABORT, 'a round that has ended never changes'); END;
CREATE TRIGGER rounds_are_kept BEFORE DELETE ON rounds
BEGIN SELECT RAISE(ABORT, 'a round is kept'); END;

CREATE TABLE round_prompts (
    round INTEGER NOT NULL REFERENCES rounds (id),
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    digest TEXT NOT NULL,
    text TEXT NOT NULL,
    prompt_tokens BLOB,
    continuation_tokens BLOB,
    PRIMARY KEY (round, position)
) STRICT;

CREATE TABLE round_students (
    round INTEGER NOT NULL REFERENCES rounds (id),
    position INTEGER NOT NULL,
    hotkey TEXT NOT NULL,
    commit_block INTEGER NOT NULL,
    model TEXT NOT NULL,
    revision TEXT NOT NULL,
    result TEXT,
    -- What was loaded, and what it was computed with.
    details TEXT,
    positions_kl_nats BLOB,
    recorded_unix_ms INTEGER,
    PRIMARY KEY (round, hotkey, commit_block),
    UNIQUE (round, position),
    CHECK ((result IS NULL) = (recorded_unix_ms IS NULL))
) STRICT;
CREATE TRIGGER results_never_change BEFORE UPDATE OF result ON round_students
WHEN OLD.result IS NOT NULL OR (SELECT state FROM rounds WHERE id = OLD.round) <> 'open'
BEGIN SELECT RAISE(ABORT, 'a result goes to an open round, once'); END;

CREATE TABLE round_tries (
    round INTEGER NOT NULL REFERENCES rounds (id),
    hotkey TEXT NOT NULL,
    commit_block INTEGER NOT NULL,
    try INTEGER NOT NULL,
    reason TEXT NOT NULL,
    tried_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (round, hotkey, commit_block, try),
    FOREIGN KEY (round, hotkey, commit_block) REFERENCES round_students (round, hotkey, commit_block)
) STRICT;

-- The king -----------------------------------------------------------------------------------------------------------

CREATE TABLE reigns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hotkey TEXT NOT NULL,
    commit_block INTEGER NOT NULL,
    model TEXT NOT NULL,
    revision TEXT NOT NULL,
    kl_nats REAL,
    round INTEGER REFERENCES rounds (id),
    crowned_block INTEGER NOT NULL,
    crowned_unix_ms INTEGER NOT NULL,
    ended_block INTEGER,
    ended_unix_ms INTEGER,
    ended_reason TEXT,
    reigns INTEGER GENERATED ALWAYS AS (CASE WHEN ended_block IS NULL THEN 1 END) VIRTUAL,
    CHECK ((ended_block IS NULL) = (ended_unix_ms IS NULL)),
    CHECK ((ended_block IS NULL) = (ended_reason IS NULL))
) STRICT;
CREATE UNIQUE INDEX one_king ON reigns (reigns);
CREATE TRIGGER ended_reigns_never_change BEFORE UPDATE ON reigns WHEN OLD.ended_block IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a reign that has ended never changes'); END;

CREATE TABLE announcements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    new_king TEXT NOT NULL,
    old_king TEXT NOT NULL,
    block INTEGER NOT NULL,
    document TEXT NOT NULL,
    taken_unix_ms INTEGER,
    UNIQUE (new_king, old_king, block)
) STRICT;

-- Weights ------------------------------------------------------------------------------------------------------------

CREATE TABLE weights (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    round INTEGER REFERENCES rounds (id),
    hotkey TEXT NOT NULL,
    commit_block INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    block INTEGER NOT NULL,
    weights TEXT NOT NULL,
    signed TEXT NOT NULL,
    intended_unix_ms INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('intended', 'sent', 'confirmed', 'lost')),
    is_pending INTEGER GENERATED ALWAYS AS (CASE WHEN state IN ('intended', 'sent') THEN 1 END) VIRTUAL,
    sent TEXT,
    sent_unix_ms INTEGER,
    settled_block INTEGER,
    settled_unix_ms INTEGER,
    lost_reason TEXT,
    CHECK ((state = 'lost') = (lost_reason IS NOT NULL)),
    CHECK ((state IN ('confirmed', 'lost')) = (settled_unix_ms IS NOT NULL)),
    CHECK ((state = 'confirmed') = (settled_block IS NOT NULL)),
    CHECK ((sent IS NULL) = (sent_unix_ms IS NULL)),
    CHECK (state <> 'sent' OR sent IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX one_pending_weights ON weights (is_pending);
CREATE INDEX weights_by_state ON weights (state, id);
CREATE TRIGGER settled_weights_never_change BEFORE UPDATE ON weights WHEN OLD.state IN ('confirmed', 'lost')
BEGIN SELECT RAISE(ABORT, 'weights whose outcome is known never change'); END;

-- What another validator left behind. History only: nothing here decides anything. -------------------------------------

CREATE TABLE legacy_items (
    file TEXT NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    document TEXT NOT NULL,
    imported_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (file, key, document)
) STRICT;
