"""The tables of an archive file, and the statements that bring the tables of older versions up to date."""

APPLICATION_ID = 0x45564F4D  # "EVOM"
SCHEMA_VERSION = 8
_SINCE_4 = """
CREATE TABLE generations (
    run TEXT NOT NULL, generation INTEGER NOT NULL, seconds REAL NOT NULL, metrics TEXT NOT NULL,
    PRIMARY KEY (run, generation));
CREATE TABLE full_trainings (
    context TEXT NOT NULL, network TEXT NOT NULL, correct INTEGER, images INTEGER, losses TEXT, seconds REAL,
    failure TEXT, created TEXT NOT NULL, PRIMARY KEY (context, network));
CREATE TABLE aliases (alias TEXT NOT NULL, context TEXT NOT NULL, PRIMARY KEY (alias, context));
"""
_SINCE_5 = """
CREATE TABLE cuts (
    run TEXT NOT NULL, architecture TEXT NOT NULL, losses TEXT NOT NULL, error REAL NOT NULL, seconds REAL NOT NULL,
    created TEXT NOT NULL, PRIMARY KEY (run, architecture));
CREATE TABLE tells (
    run TEXT NOT NULL, number INTEGER NOT NULL, asks INTEGER NOT NULL, ask INTEGER NOT NULL,
    PRIMARY KEY (run, number));
"""
_SINCE_6 = """
CREATE TABLE answers (
    context TEXT NOT NULL, network TEXT NOT NULL, classes INTEGER NOT NULL, confusion BLOB NOT NULL,
    mistakes TEXT NOT NULL, PRIMARY KEY (context, network));
CREATE TABLE class_names (images TEXT PRIMARY KEY, names TEXT NOT NULL);
CREATE TABLE pictures (
    images TEXT NOT NULL, image INTEGER NOT NULL, content BLOB NOT NULL, PRIMARY KEY (images, image));
"""
_SINCE_7 = """
ALTER TABLE answers ADD COLUMN loss REAL;
ALTER TABLE answers ADD COLUMN loss_error REAL;
"""
_SINCE_8 = """
CREATE TABLE findings (
    context TEXT NOT NULL, network TEXT NOT NULL, ap REAL NOT NULL, ap_error REAL, ap50 REAL NOT NULL, ap50_error REAL,
    details TEXT NOT NULL, shown TEXT NOT NULL, PRIMARY KEY (context, network));
"""
SCHEMA = (
    """
CREATE TABLE contexts (key TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE calibrations (
    context TEXT PRIMARY KEY, latency_ms REAL NOT NULL, samples_ms TEXT NOT NULL, created TEXT NOT NULL,
    load REAL);
CREATE TABLE measurements (
    context TEXT NOT NULL, architecture TEXT NOT NULL, latency_ms REAL, low_ms REAL, high_ms REAL, ratio REAL,
    samples TEXT, seconds REAL, params INTEGER, macs INTEGER, se_macs INTEGER, failure TEXT,
    created TEXT NOT NULL, precise INTEGER, load REAL, PRIMARY KEY (context, architecture));
CREATE TABLE layers (
    context TEXT NOT NULL, layer TEXT NOT NULL, ratio REAL NOT NULL, PRIMARY KEY (context, layer));
CREATE TABLE trainings (
    context TEXT NOT NULL, architecture TEXT NOT NULL, accuracy REAL, losses TEXT, seconds REAL, failure TEXT,
    created TEXT NOT NULL, PRIMARY KEY (context, architecture));
CREATE TABLE runs (
    id TEXT PRIMARY KEY, algorithm TEXT NOT NULL, seed INTEGER NOT NULL, definition TEXT NOT NULL,
    proxy TEXT NOT NULL, device TEXT NOT NULL, created TEXT NOT NULL, options TEXT NOT NULL DEFAULT '{}',
    candidates TEXT NOT NULL DEFAULT '{}', manner TEXT NOT NULL DEFAULT '{}');
CREATE TABLE lookups (
    context TEXT NOT NULL, architecture TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (context, architecture));
CREATE TABLE asks (
    run TEXT NOT NULL, position INTEGER NOT NULL, generation INTEGER NOT NULL, architecture TEXT NOT NULL,
    PRIMARY KEY (run, position));
"""
    + _SINCE_4.lstrip()
    + _SINCE_5.lstrip()
    + _SINCE_6.lstrip()
    + _SINCE_7.lstrip()
    + _SINCE_8.lstrip()
)
MIGRATIONS = {  # the statements that lead from the version before to this one
    2: """
ALTER TABLE calibrations ADD COLUMN load REAL;
ALTER TABLE measurements ADD COLUMN precise INTEGER;
ALTER TABLE measurements ADD COLUMN load REAL;
CREATE TABLE layers (
    context TEXT NOT NULL, layer TEXT NOT NULL, ratio REAL NOT NULL, PRIMARY KEY (context, layer));
""",
    3: """
ALTER TABLE runs ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
ALTER TABLE runs ADD COLUMN candidates TEXT NOT NULL DEFAULT '{}';
CREATE TABLE lookups (
    context TEXT NOT NULL, architecture TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (context, architecture));
""",
    4: _SINCE_4,
    5: """
ALTER TABLE runs ADD COLUMN manner TEXT NOT NULL DEFAULT '{}';
"""
    + _SINCE_5.lstrip(),
    6: _SINCE_6,
    7: _SINCE_7,
    8: _SINCE_8,
}
