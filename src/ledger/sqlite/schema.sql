-- One row an image, and one row a file whose address is not known. Times are Unix seconds in UTC.
CREATE TABLE images (
    id                INTEGER PRIMARY KEY,  -- grows in the order of writing
    -- 1 saved; 2 a file without an address (found by `ledger rebuild`, or left by an image that was
    -- fetched again); 3 failed; 4 gone from its site, left alone until `until`
    state             INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4),
    -- The first 8 bytes of the BLAKE3 hash of `key`, and of `name` in NFC and lower case, as little-endian
    -- integers. An index of integers is a tenth of the size of one of texts. Two texts may share a
    -- hash, so a lookup compares the text as well.
    key_hash          INTEGER,
    name_hash         INTEGER,
    owner             INTEGER,  -- a duplicate: the `id` of the row that has the file, with the same bytes
    bytes             INTEGER,  -- the file's length
    blake3            BLOB,     -- the file's hash, 32 bytes
    format            TEXT,     -- png, jpg, gif, webp, avif, jxl
    width             INTEGER,  -- pixels as stored in the file
    height            INTEGER,
    at                INTEGER,  -- when the image was fetched or failed
    until             INTEGER,  -- gone: when it is asked for again
    attempts          INTEGER,  -- failed, gone: requests that were made for it
    key               TEXT,     -- site and canonical address, with a space between
    name              TEXT,     -- the file's name; none for a duplicate, which shares its owner's file
    address           TEXT,     -- the address that was asked, where it is not the key's
    page              TEXT,     -- the listing page that showed the image
    title             TEXT,
    etag              TEXT,
    last_modified     TEXT,
    cause             TEXT,     -- failed, gone: why
    stem              TEXT,     -- adopted: `name` without its extension, in NFC and lower case
    -- Room for what is written down later.
    item              TEXT,     -- the site's own key of the item
    second_address    TEXT,     -- where else the image can be had
    capture           TEXT,     -- the web archive's capture that the image came from
    displayed_width   INTEGER,  -- pixels as displayed, where that is another size
    displayed_height  INTEGER,
    warnings          TEXT,     -- what was odd about the file that was saved all the same
    rules             INTEGER,  -- gone: a hash of what the image was looked for by; by other rules it is asked for
                                -- again; an earlier build knew none
    skip              TEXT,     -- gone: for an image that was left out, why, as JSON
    CHECK ((key IS NULL) = (key_hash IS NULL)),
    CHECK ((name IS NULL) = (name_hash IS NULL))
);
-- Not UNIQUE, as two texts may share a hash. Partial, so that a row is in an index only where it can be found by it.
CREATE INDEX images_by_key ON images (key_hash) WHERE key_hash IS NOT NULL;
CREATE INDEX images_by_name ON images (name_hash) WHERE name_hash IS NOT NULL;
CREATE INDEX images_by_owner ON images (owner) WHERE owner IS NOT NULL;
CREATE INDEX images_by_stem ON images (stem) WHERE stem IS NOT NULL;

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
