extension Schema {
    /// The second step: flows, folded rows, rows without a name, and what retention has to know of spans.
    static let flows = """
        -- Identical queries that the row stands for; NULL: one.
        ALTER TABLE query_log ADD COLUMN count INTEGER;

        -- Rows of query_log and flow_log in the span; NULL: as many as ids.
        ALTER TABLE query_spans ADD COLUMN rows INTEGER;
        -- Before this time only blocked rows are left; NULL: no row was taken out.
        ALTER TABLE query_spans ADD COLUMN thinned INTEGER;

        -- How surely uid, pid and app are those that asked: exact, probable.
        ALTER TABLE processes ADD COLUMN certainty TEXT;

        CREATE TABLE flow_outcomes (
            id INTEGER PRIMARY KEY, verdict TEXT NOT NULL, reason TEXT, list TEXT, name_source TEXT
        );

        -- Ids are those of query_log's sequence. source: an id of sources, whose transport is the protocol. remote: an id of
        -- answers. time, duration: microseconds.
        CREATE TABLE flow_log (
            id INTEGER PRIMARY KEY, outcome INTEGER NOT NULL, name INTEGER, source INTEGER NOT NULL, remote INTEGER,
            time INTEGER NOT NULL, port INTEGER, rule INTEGER, process INTEGER, packets INTEGER NOT NULL,
            bytes INTEGER NOT NULL, duration INTEGER
        );

        DROP VIEW queries;
        CREATE VIEW queries AS
        SELECT
            l.id AS id,
            strftime('%Y-%m-%dT%H:%M:%S', (l.time + \(timeBase)) / 1000000, 'unixepoch')
                || printf('.%06dZ', (l.time + \(timeBase)) % 1000000) AS time,
            s.client AS client,
            (SELECT uid FROM processes WHERE id = l.process) AS uid,
            (SELECT pid FROM processes WHERE id = l.process) AS pid,
            (SELECT app FROM processes WHERE id = l.process) AS app,
            s.link AS link,
            s.transport AS transport,
            (SELECT text FROM names WHERE id = l.name) AS qname,
            coalesce((SELECT name FROM qtypes WHERE code = l.qtype), 'TYPE' || l.qtype) AS qtype,
            o.verdict AS verdict,
            o.reason AS reason,
            o.list AS list,
            (SELECT text FROM names WHERE id = l.rule) AS rule,
            o.rcode AS rcode,
            (SELECT text FROM answers WHERE id = l.answer) AS answer,
            o.upstream AS upstream,
            o.cached AS cached,
            o.dnssec AS dnssec,
            l.latency AS latency_us,
            coalesce(l.count, 1) AS count,
            (SELECT certainty FROM processes WHERE id = l.process) AS certainty
        FROM query_log AS l
            CROSS JOIN outcomes AS o ON o.id = l.outcome
            CROSS JOIN sources AS s ON s.id = l.source;

        CREATE VIEW flows AS
        SELECT
            l.id AS id,
            strftime('%Y-%m-%dT%H:%M:%S', (l.time + \(timeBase)) / 1000000, 'unixepoch')
                || printf('.%06dZ', (l.time + \(timeBase)) % 1000000) AS time,
            s.client AS client,
            (SELECT uid FROM processes WHERE id = l.process) AS uid,
            (SELECT pid FROM processes WHERE id = l.process) AS pid,
            (SELECT app FROM processes WHERE id = l.process) AS app,
            s.link AS link,
            s.transport AS proto,
            (SELECT text FROM answers WHERE id = l.remote) AS remote,
            l.port AS port,
            (SELECT text FROM names WHERE id = l.name) AS name,
            o.name_source AS name_source,
            o.verdict AS verdict,
            o.reason AS reason,
            o.list AS list,
            (SELECT text FROM names WHERE id = l.rule) AS rule,
            l.packets AS packets,
            l.bytes AS bytes,
            l.duration AS duration_us,
            (SELECT certainty FROM processes WHERE id = l.process) AS certainty
        FROM flow_log AS l
            CROSS JOIN flow_outcomes AS o ON o.id = l.outcome
            CROSS JOIN sources AS s ON s.id = l.source;
        """
}
