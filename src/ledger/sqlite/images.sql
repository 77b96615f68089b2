-- Texts that many rows of `images` share. The same text may stand here twice: an index to prevent that would have every
-- text twice, also where each image has a listing page of its own. A text stays when the rows that use it are deleted.
CREATE TABLE texts (
    id    INTEGER PRIMARY KEY,
    text  TEXT NOT NULL
);

-- One row an image, and one row a file whose address is not known. Times are Unix seconds in UTC. What counting the
-- rows needs stands first, as SQLite reads a row up to the last column that is asked for.
CREATE TABLE images (
    id                INTEGER PRIMARY KEY,  -- grows in the order of writing
    -- 1 saved; 2 a file without an address (found by `ledger rebuild`, or left by an image that was
    -- fetched again); 3 failed; 4 gone from its site, left alone until `until`
    state             INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4),
    -- The first 8 bytes of the BLAKE3 hash of the key, and of `name` in NFC and lower case, as little-endian
    -- integers. An index of integers is a tenth of the size of one of texts. Two texts may share a
    -- hash, so a lookup compares the text as well.
    key_hash          INTEGER,
    name_hash         INTEGER,
    at                INTEGER,  -- when the image was fetched or failed
    bytes             INTEGER,  -- the file's length
    format            TEXT,     -- png, jpg, gif, webp, avif, jxl
    width             INTEGER,  -- pixels as stored in the file
    height            INTEGER,
    blake3            BLOB,     -- the file's hash, 32 bytes
    owner             INTEGER,  -- a duplicate: the `id` of the row that has the file, with the same bytes
    until             INTEGER,  -- gone: when it is asked for again
    attempts          INTEGER,  -- failed, gone: requests that were made for it
    -- The key is site and canonical address, with a space between. Its beginning is in `texts`: the site, the space, and
    -- of an address what is before its path.
    key_start         INTEGER,
    key_rest          TEXT,
    name              TEXT,     -- the file's name; none for a duplicate, which shares its owner's file
    address           TEXT,     -- the address that was asked, where it is not the key's
    page              INTEGER,  -- the listing page that showed the image, in `texts`
    title             TEXT,
    etag              TEXT,
    -- Without a type, so that each value keeps its own: Unix seconds for a date in the usual form, which can be written
    -- again from them, and the text for any other.
    last_modified,
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
    CHECK ((key_start IS NULL) = (key_hash IS NULL)),
    CHECK ((key_rest IS NULL) = (key_hash IS NULL)),
    CHECK ((name IS NULL) = (name_hash IS NULL))
);
-- Not UNIQUE, as two texts may share a hash. Partial, so that a row is in an index only where it can be found by it.
CREATE INDEX images_by_key ON images (key_hash) WHERE key_hash IS NOT NULL;
CREATE INDEX images_by_name ON images (name_hash) WHERE name_hash IS NOT NULL;
CREATE INDEX images_by_owner ON images (owner) WHERE owner IS NOT NULL;
CREATE INDEX images_by_stem ON images (stem) WHERE stem IS NOT NULL;
