-- An archive of version 1, as evomnas wrote it before measurements kept their load.
CREATE TABLE contexts (key TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE calibrations (
    context TEXT PRIMARY KEY, latency_ms REAL NOT NULL, samples_ms TEXT NOT NULL, created TEXT NOT NULL);
CREATE TABLE measurements (
    context TEXT NOT NULL, architecture TEXT NOT NULL, latency_ms REAL, low_ms REAL, high_ms REAL, ratio REAL,
    samples TEXT, seconds REAL, params INTEGER, macs INTEGER, se_macs INTEGER, failure TEXT,
    created TEXT NOT NULL, PRIMARY KEY (context, architecture));
CREATE TABLE trainings (
    context TEXT NOT NULL, architecture TEXT NOT NULL, accuracy REAL, losses TEXT, seconds REAL, failure TEXT,
    created TEXT NOT NULL, PRIMARY KEY (context, architecture));
CREATE TABLE runs (
    id TEXT PRIMARY KEY, algorithm TEXT NOT NULL, seed INTEGER NOT NULL, definition TEXT NOT NULL,
    proxy TEXT NOT NULL, device TEXT NOT NULL, created TEXT NOT NULL);
CREATE TABLE asks (
    run TEXT NOT NULL, position INTEGER NOT NULL, generation INTEGER NOT NULL, architecture TEXT NOT NULL,
    PRIMARY KEY (run, position));
INSERT INTO contexts VALUES ('device', '{"runtime": "onnxruntime"}');
INSERT INTO calibrations VALUES ('device', 0.25, '[0.25, 0.26]', '2026-11-23T00:00:00.000+00:00');
INSERT INTO measurements VALUES ('device', 'stem8_s1-conv_k3_s1_f8_n1-head8', 0.5, 0.49, 0.51, 2.0, '[2.0, 2.0]', 0.1, 100, 1000, 10, NULL, '2026-11-23T00:00:00.000+00:00');
INSERT INTO trainings VALUES ('proxy', 'stem8_s1-conv_k3_s1_f8_n1-head8', 0.9, '[1.0, 0.5]', 3.0, NULL, '2026-11-23T00:00:00.000+00:00');
INSERT INTO runs VALUES ('r', 'nsga2', 1, '{}', 'proxy', 'device', '2026-11-23T00:00:00+00:00');
INSERT INTO asks VALUES ('r', 0, 0, 'stem8_s1-conv_k3_s1_f8_n1-head8');
PRAGMA application_id = 1163284301;
PRAGMA user_version = 1;
