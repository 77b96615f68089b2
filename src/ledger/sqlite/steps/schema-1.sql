-- One row a file of the collection. `folded` is the name as a file system without case or Unicode forms sees it.
CREATE TABLE files (
    id      INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL,
    folded  TEXT    NOT NULL UNIQUE,
    stem    TEXT    NOT NULL,
    bytes   INTEGER NOT NULL,
    blake3  TEXT    NOT NULL,
    format  TEXT    NOT NULL,
    width   INTEGER NOT NULL,
    height  INTEGER NOT NULL,
    state   TEXT    NOT NULL CHECK (state IN ('placing', 'saved'))
);
CREATE INDEX files_by_stem ON files (stem);

-- One row an address. Times are RFC 3339 in UTC, whole seconds, so that they sort as text.
CREATE TABLE images (
    key            TEXT PRIMARY KEY NOT NULL,
    site           TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('placing', 'saved', 'failed', 'gone')),
    file           INTEGER REFERENCES files (id),
    page           TEXT,
    address        TEXT NOT NULL,
    title          TEXT,
    etag           TEXT,
    last_modified  TEXT,
    at             TEXT NOT NULL,
    cause          TEXT,
    tries          INTEGER,
    until          TEXT,
    CHECK ((state IN ('placing', 'saved')) = (file IS NOT NULL))
);
CREATE INDEX images_by_file ON images (file) WHERE file IS NOT NULL;
CREATE INDEX images_by_at ON images (at);
CREATE INDEX images_placing ON images (state) WHERE state = 'placing';

-- What a person wants to read: every address with its file, then files whose address is not known.
CREATE VIEW collection AS
SELECT images.at, images.site, images.state, files.name, files.format, files.width, files.height, files.bytes,
       files.blake3, images.title, images.address, images.page, images.cause, images.until
FROM images LEFT JOIN files ON files.id = images.file
UNION ALL
SELECT NULL, NULL, 'adopted', files.name, files.format, files.width, files.height, files.bytes,
       files.blake3, NULL, NULL, NULL, NULL, NULL
FROM files WHERE files.state = 'saved' AND NOT EXISTS (SELECT 1 FROM images WHERE images.file = files.id);
