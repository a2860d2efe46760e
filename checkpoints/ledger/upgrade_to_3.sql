-- What makes a ledger of version 2 one of version 3.
ALTER TABLE runs ADD COLUMN beat_at TEXT NOT NULL DEFAULT '';
ALTER TABLE proposals ADD COLUMN flags TEXT NOT NULL DEFAULT '[]';
CREATE TABLE budgets (
    scope TEXT NOT NULL PRIMARY KEY, nusd BIGINT NOT NULL DEFAULT '0', tokens BIGINT NOT NULL DEFAULT '0',
    steps BIGINT NOT NULL DEFAULT '0', ms BIGINT NOT NULL DEFAULT '0', raised TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE holds (
    id TEXT NOT NULL PRIMARY KEY, scopes TEXT NOT NULL, nusd BIGINT NOT NULL, tokens BIGINT NOT NULL,
    steps BIGINT NOT NULL, ms BIGINT NOT NULL, owner TEXT NOT NULL, until TEXT NOT NULL
);
CREATE TABLE usage (
    id TEXT NOT NULL PRIMARY KEY, at TEXT NOT NULL, day TEXT NOT NULL, run_id TEXT NOT NULL, team TEXT NOT NULL,
    role TEXT NOT NULL, tier TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL, outcome TEXT NOT NULL,
    input_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL, nusd BIGINT NOT NULL, dearest_nusd BIGINT NOT NULL, assumed BOOLEAN NOT NULL,
    ms BIGINT NOT NULL
);
CREATE INDEX usage_by_run ON usage (run_id);
CREATE INDEX usage_by_day ON usage (day);
CREATE TABLE rates (
    key TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL, version INTEGER NOT NULL DEFAULT '0', at FLOAT NOT NULL
);
