-- What the ledger remembers beside its images, which `images.sql` has.

-- Rows of `images`, by ranges of ids, whose files are about to get their names. Empty while nothing is placed. A
-- group is written as one range and settled by deleting it, so that no row is written a second time.
CREATE TABLE pending (
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL
);

-- Images whose hooks are still to run; an empty key stands for the end of a run. Numbers are never given twice.
CREATE TABLE pending_hooks (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    key       TEXT NOT NULL UNIQUE,
    key_hash  INTEGER,          -- as in `images`, to find the image by
    attempts  INTEGER NOT NULL  -- runs in which they failed
);

-- Skipped images that were reported once, and are not reported again for the same reason.
CREATE TABLE reported_skips (
    key     TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (key, reason)
) WITHOUT ROWID;

-- Stretches of a listing that were seen from end to end: page numbers, dates or cursors, as the listing counts.
CREATE TABLE seen_ranges (
    listing  TEXT NOT NULL,  -- site and address of the listing, with a space between
    first    TEXT NOT NULL,
    last     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (listing, first)
) WITHOUT ROWID;
