-- Names that images are about to get stand in one row, and no more in the tables; a stem stands only where it is needed.
CREATE TABLE promises (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    told  TEXT NOT NULL
);
INSERT INTO promises
SELECT 1, json_object(
    'images', json((SELECT json_group_array(json_object(
        'key', key, 'site', site, 'file', iif(promised, -file, file), 'page', page, 'address', address, 'title', title,
        'etag', etag, 'last_modified', last_modified, 'at', at))
        FROM (SELECT images.*, files.state = 'placing' AS promised FROM images JOIN files ON files.id = images.file
              WHERE images.state = 'placing' ORDER BY images.rowid))),
    'files', json((SELECT json_group_array(json_object(
        'id', -id, 'name', name, 'bytes', bytes, 'blake3', blake3, 'format', format, 'width', width, 'height', height))
        FROM files WHERE state = 'placing')))
WHERE EXISTS (SELECT 1 FROM images WHERE state = 'placing');

CREATE TABLE files_2 (
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
INSERT INTO files_2
SELECT id, name, folded, iif(EXISTS (SELECT 1 FROM images WHERE images.file = files.id AND images.state <> 'placing'), NULL, stem),
       bytes, blake3, format, width, height
FROM files WHERE state = 'saved';

CREATE TABLE images_2 (
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
INSERT INTO images_2 SELECT * FROM images WHERE state <> 'placing' ORDER BY rowid;

DROP VIEW collection;
DROP TABLE images;
DROP TABLE files;
ALTER TABLE files_2 RENAME TO files;
ALTER TABLE images_2 RENAME TO images;
CREATE INDEX files_by_stem ON files (stem) WHERE stem IS NOT NULL;
CREATE INDEX images_by_file ON images (file) WHERE file IS NOT NULL;
CREATE VIEW collection AS
SELECT images.at, images.site, images.state, files.name, files.format, files.width, files.height, files.bytes,
       files.blake3, images.title, images.address, images.page, images.cause, images.until
FROM images LEFT JOIN files ON files.id = images.file
UNION ALL
SELECT NULL, NULL, 'adopted', files.name, files.format, files.width, files.height, files.bytes,
       files.blake3, NULL, NULL, NULL, NULL, NULL
FROM files WHERE NOT EXISTS (SELECT 1 FROM images WHERE images.file = files.id);
