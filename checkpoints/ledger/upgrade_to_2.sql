-- What makes a ledger of version 1 one of version 2. The tables of today are another version's tomorrow.
ALTER TABLE runs ADD COLUMN requested_by TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN dry_run BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE approvals ADD COLUMN authority TEXT NOT NULL DEFAULT '{}';
ALTER TABLE approvals ADD COLUMN shown TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN escalated_at TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN answering TEXT NOT NULL DEFAULT '';
UPDATE approvals SET shown = (SELECT args FROM proposals WHERE proposals.id = approvals.proposal_id);
CREATE INDEX approvals_by_run ON approvals (run_id);
ALTER TABLE effects ADD COLUMN claims INTEGER NOT NULL DEFAULT '1';
ALTER TABLE effects ADD COLUMN claimed_until TEXT NOT NULL DEFAULT '';
CREATE INDEX effects_by_run ON effects (run_id);
CREATE INDEX effects_by_approval ON effects (approval_id);
CREATE TABLE people (name TEXT NOT NULL, role TEXT NOT NULL, PRIMARY KEY (name, role));
CREATE TABLE votes (
    approval_id TEXT NOT NULL REFERENCES approvals (id), name TEXT NOT NULL, args_sha256 TEXT NOT NULL,
    roles TEXT NOT NULL DEFAULT '[]', reason TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (approval_id, name)
);
CREATE TABLE notices (
    id TEXT NOT NULL PRIMARY KEY, hook TEXT NOT NULL, event TEXT NOT NULL, run_id TEXT NOT NULL, body TEXT NOT NULL,
    at TEXT NOT NULL, status TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT '0', next_at TEXT NOT NULL,
    sender TEXT NOT NULL DEFAULT '', sender_until TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX notices_by_status ON notices (status, next_at);
INSERT INTO ledger_meta (key, value)
    VALUES ('audit_head', '0:0000000000000000000000000000000000000000000000000000000000000000');
UPDATE ledger_meta SET value = (SELECT seq || ':' || hash FROM audit ORDER BY seq DESC LIMIT 1)
    WHERE key = 'audit_head' AND EXISTS (SELECT seq FROM audit);
