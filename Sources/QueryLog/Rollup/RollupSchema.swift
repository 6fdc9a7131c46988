/// The tables that hold sums of rows: by run of ids, for quick questions, and by hour, for those after the rows are gone.
enum RollupSchema {
    static let rollups = """
        -- What the rows of a closed run of ids (query_spans) sum up to; last names the run. exact: 0 when some of the rows
        -- are gone. The blobs are SpanSummary's.
        CREATE TABLE query_summaries (
            last INTEGER PRIMARY KEY, exact INTEGER NOT NULL, sets BLOB NOT NULL, latencies BLOB NOT NULL,
            names BLOB NOT NULL
        );
        CREATE INDEX query_summaries_inexact ON query_summaries (exact) WHERE exact = 0;

        -- Queries by hour (since 1970) and outcome, and the sum of their latencies in microseconds.
        CREATE TABLE query_hours (
            hour INTEGER NOT NULL, outcome INTEGER NOT NULL, queries INTEGER NOT NULL, latency INTEGER NOT NULL,
            PRIMARY KEY (hour, outcome)
        ) WITHOUT ROWID;

        -- LatencyHistogram of all answers of the hour, and of those that an upstream was asked for.
        CREATE TABLE query_hour_latencies (hour INTEGER PRIMARY KEY, answered BLOB NOT NULL, resolved BLOB NOT NULL);

        -- The rows behind the last summary are not in the tables yet, and are counted as they stand.
        CREATE VIEW hours AS
        SELECT
            strftime('%Y-%m-%dT%H:00:00Z', h.hour * 3600, 'unixepoch') AS hour,
            o.verdict AS verdict, o.reason AS reason, o.list AS list, o.rcode AS rcode, o.upstream AS upstream,
            o.cached AS cached, o.dnssec AS dnssec, CAST(sum(h.queries) AS INTEGER) AS queries,
            CASE WHEN o.rcode IS NULL THEN NULL ELSE CAST(sum(h.latency) / sum(h.queries) AS INTEGER) END AS mean_latency_us
        FROM (
            SELECT hour, outcome, queries, latency FROM query_hours
            UNION ALL
            SELECT (time + \(Schema.timeBase)) / 3600000000, outcome, total(coalesce(count, 1)),
                total(latency * coalesce(count, 1))
            FROM query_log
            WHERE id > (SELECT coalesce(max(last), 0) FROM query_summaries)
            GROUP BY 1, 2
        ) AS h JOIN outcomes AS o ON o.id = h.outcome
        GROUP BY h.hour, h.outcome;
        """
}
