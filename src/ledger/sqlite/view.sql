CREATE VIEW collection AS
SELECT strftime('%Y-%m-%dT%H:%M:%SZ', images.at, 'unixepoch') AS at,
       substr(start.text, 1, instr(start.text, ' ') - 1) AS site,
       CASE WHEN EXISTS (SELECT 1 FROM pending WHERE images.id BETWEEN first AND last) THEN 'placing'
            WHEN images.state = 1 AND file.id <> images.id AND file.key_rest IS NOT NULL THEN 'duplicate'
            WHEN images.state = 1 THEN 'saved'
            WHEN images.state = 2 THEN 'adopted'
            WHEN images.state = 3 THEN 'failed'
            WHEN images.skip IS NOT NULL THEN 'skipped'
            ELSE 'gone' END AS state,
       file.name, file.format,
       coalesce(file.displayed_width, file.width) AS width, coalesce(file.displayed_height, file.height) AS height,
       iif(file.displayed_width IS NULL, NULL, file.width) AS stored_width,
       iif(file.displayed_height IS NULL, NULL, file.height) AS stored_height,
       file.bytes, nullif(lower(hex(file.blake3)), '') AS blake3,
       images.title, coalesce(images.address, substr(start.text, instr(start.text, ' ') + 1) || images.key_rest) AS address,
       page.text AS page, images.cause, file.warnings,
       strftime('%Y-%m-%dT%H:%M:%SZ', images.until, 'unixepoch') AS until
FROM images LEFT JOIN images AS file ON file.id = coalesce(images.owner, images.id)
    LEFT JOIN texts AS start ON start.id = images.key_start LEFT JOIN texts AS page ON page.id = images.page
WHERE images.key_rest IS NOT NULL
   OR NOT EXISTS (SELECT 1 FROM images AS duplicate WHERE duplicate.owner = images.id)
