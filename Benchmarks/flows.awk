# Tables of what Benchmarks/flows measured: lines of round, subject, measurement, and one value (latency: four).
#   subjects  in their order      rounds  how many      selected  1: a table of means, for a selection of measurements

# Sorts the list as well.
function median(list, n,    i, j, t) {
    for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    return list[int((n + 1) / 2)]
}
function middle(subject, column,    r, list) {
    for (r = 1; r <= rounds; r++) list[r] = v[r, subject, column] + 0
    return median(list, rounds)
}
function mean(subject, column,    r, sum) {
    for (r = 1; r <= rounds; r++) sum += v[r, subject, column]
    return sum / rounds
}
# Ratios are taken within a round.
function ratio(subject, other, column,    r, list) {
    for (r = 1; r <= rounds; r++) list[r] = v[r, subject, column] / v[r, other, column]
    return median(list, rounds)
}
function has(subject) { return (1, subject, first) in v }
function number(value) { return sprintf(value < 1000 ? "%.2f" : "%.0f", value) }

function table(    s, i, subject, line) {
    print "| | TCP up Gbit/s | TCP down | 8 TCP up | 8 TCP down | UDP 1400 B Gbit/s | UDP 64 B packets/s | HTTP connections/s | ping p50, p99 µs | connect p50, p99 µs | memory MB |"
    print "|---|---|---|---|---|---|---|---|---|---|---|"
    split("up down up8 down8 udp1400 udp64 http", column, " ")
    for (s = 1; s <= count; s++) {
        subject = order[s]
        line = "| " name[subject] " |"
        for (i = 1; i <= 7; i++) {
            line = line " " number(middle(subject, column[i]))
            if (subject != "bare" && has("bare")) line = line sprintf(" (%.2f ×)", ratio(subject, "bare", column[i]))
            line = line " |"
        }
        printf "%s %.1f, %.1f | %.1f, %.1f | %s |\n", line, middle(subject, "latency"), middle(subject, "latency 2"),
            middle(subject, "latency 3"), middle(subject, "latency 4"), subject in memory ? memory[subject] : "-"
    }
    if (has("tunnel") && has("forwarder")) {
        printf "\nEvery packet through the TUN, beside the C forwarder of the same round:"
        for (i = 1; i <= 4; i++) printf "%s %.2f ×", (i > 1 ? "," : ""), ratio("tunnel", "forwarder", column[i])
        printf " (the four of TCP).\n"
    }
    if (has("webtun") && has("bare")) {
        printf "\nAn allowed flow beside the bare link, each round of its own, sorted:"
        sorted("up", " up")
        sorted("down", "; down")
        printf ".\n"
    }
}
function sorted(column, title,    r, list) {
    for (r = 1; r <= rounds; r++) list[r] = v[r, "webtun", column] / v[r, "bare", column]
    median(list, rounds)
    printf "%s", title
    for (r = 1; r <= rounds; r++) printf " %.2f", list[r]
}

function against(subject, other, column) {
    if (subject == other || !has(other)) return " - |"
    return sprintf(" %.2f ×, %.2f × |", mean(subject, column) / mean(other, column), ratio(subject, other, column))
}
function means(    s, i, columns, subject, kinds) {
    print "| | | mean | lowest to highest | beside the bare link: means, median of rounds | beside the C forwarder |"
    print "|---|---|---|---|---|---|"
    columns = split(measured, kinds, " ")
    for (i = 1; i <= columns; i++) for (s = 1; s <= count; s++) {
        subject = order[s]
        printf "| %s | %s | %s | %s to %s |%s%s\n", kinds[i], name[subject], number(mean(subject, kinds[i])),
            number(lowest[subject, kinds[i]]), number(highest[subject, kinds[i]]), against(subject, "bare", kinds[i]),
            subject == "bare" ? " - |" : against(subject, "forwarder", kinds[i])
    }
}

$3 == "memory" { memory[$2] = $4; next }
{
    if (!first) first = $3
    if (!(($2, $3) in lowest) || $4 < lowest[$2, $3]) lowest[$2, $3] = $4
    if ($4 > highest[$2, $3]) highest[$2, $3] = $4
    if (!seen[$3]++) measured = measured " " $3
    for (i = 4; i <= NF; i++) v[$1, $2, $3 (i > 4 ? " " i - 3 : "")] = $i
}
END {
    name["bare"] = "bare link"; name["forwarder"] = "C forwarder on the TUN (ceiling)"
    name["tunnel"] = "webtun, every packet through the TUN"; name["webtun"] = "**webtun**"
    count = split(subjects, order, " ")
    if (selected) means(); else table()
}
