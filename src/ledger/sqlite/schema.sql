-- One row a file of the collection. `folded` is the name as a file system without case or Unicode forms sees it; `stem`
-- stands only where the file was found in the folder and the address of its image is not known.
CREATE TABLE files (
    id      INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL,
    folded  TEXT    NOT NULL UNIQUE,
    stem    TEXT,
    bytes   INTEGER NOT NULL,
    blake3  TEXT    NOT NULL,
    format  TEXT    NOT NULL,
    width   INTEGER NOT NULL,
    height  INTEGER NOT NULL
);
CREATE INDEX files_by_stem ON files (stem) WHERE stem IS NOT NULL;

-- One row an address. Times are RFC 3339 in UTC, whole seconds, so that they sort as text. (`state IN (...)` would
-- make a table of its three words for every row that is written.)
CREATE TABLE images (
    key            TEXT PRIMARY KEY NOT NULL,
    site           TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state = 'saved' OR state = 'failed' OR state = 'gone'),
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
    CHECK ((state = 'saved') = (file IS NOT NULL))
);
CREATE INDEX images_by_file ON images (file) WHERE file IS NOT NULL;

-- The names that a group of images is about to get, as JSON in one row; none while nothing is being named.
CREATE TABLE promises (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    told  TEXT NOT NULL
);

-- What a person wants to read: every address with its file, then files whose address is not known.
CREATE VIEW collection AS
SELECT images.at, images.site, images.state, files.name, files.format, files.width, files.height, files.bytes,
       files.blake3, images.title, images.address, images.page, images.cause, images.until
FROM images LEFT JOIN files ON files.id = images.file
UNION ALL
SELECT NULL, NULL, 'adopted', files.name, files.format, files.width, files.height, files.bytes,
       files.blake3, NULL, NULL, NULL, NULL, NULL
FROM files WHERE NOT EXISTS (SELECT 1 FROM images WHERE images.file = files.id);
