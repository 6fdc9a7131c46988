# Hosts on one machine for the demo and the benchmark: network namespaces joined by veth links. To be sourced by bash.
#
#   lab_open NAME           a folder ($lab) and a prefix of its own; everything is removed when the script ends
#   host NAME               a namespace
#   join A LINK B LINK      a veth pair between two hosts, both ends up
#   at HOST COMMAND…        run a command on a host
#   serve HOST LOG COMMAND… start a service on a host; its output goes to $lab/LOG.log, its process id into $service
#   stop PID                end a service started with serve, with SIGTERM, then SIGKILL
#   lab_cgroup              from here on the script and what it starts are in a cgroup of their own: $cgroup, as every host
#                           sees it, for webtun's [owners] cgroup; empty where there are no cgroups of version 2

lab=
lab_prefix=
lab_hosts=()
lab_services=()
lab_cgroup=
lab_cgroup_before=
cgroup=

lab_open() {
    [ "$(id -u)" -eq 0 ] || { echo "$0: this makes network namespaces: run it as root" >&2; exit 1; }
    [ -c /dev/net/tun ] || { echo "$0: /dev/net/tun is missing: load the tun module (modprobe tun)" >&2; exit 1; }
    lab_prefix=$1$$
    lab=$(mktemp -d "/tmp/webtun-$1.XXXXXX")
    trap lab_close EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

lab_close() {
    local pid name i
    trap - EXIT
    for pid in "${lab_services[@]}"; do stop "$pid"; done
    for name in "${lab_hosts[@]}"; do
        for pid in $(ip netns pids "$lab_prefix-$name" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || true; done
        ip netns delete "$lab_prefix-$name" 2>/dev/null || true
        rm -rf "/etc/netns/$lab_prefix-$name"
    done
    [ -z "$lab" ] || rm -rf "$lab"
    [ -n "$lab_cgroup" ] || return 0
    echo $$ >"$lab_cgroup_before/cgroup.procs"
    for ((i = 0; i < 100; i++)); do
        if rmdir "$lab_cgroup" 2>/dev/null; then return 0; fi
        sleep 0.05
    done
}

lab_cgroup() {
    local root
    root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
    [ -n "$root" ] || return 0
    lab_cgroup_before=$root$(sed -n 's/^0:://p' /proc/self/cgroup)
    lab_cgroup=$root/$lab_prefix
    mkdir "$lab_cgroup"
    echo $$ >"$lab_cgroup/cgroup.procs"
    # `ip netns exec` hides what is mounted below /sys.
    cgroup=/proc/$$/root$lab_cgroup
}

at() {
    local name=$1
    shift
    ip netns exec "$lab_prefix-$name" "$@"
}

host() {
    ip netns add "$lab_prefix-$1"
    lab_hosts+=("$1")
    at "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
    at "$1" ip link set lo up
}

join() {
    ip link add "$2" netns "$lab_prefix-$1" type veth peer name "$4" netns "$lab_prefix-$3"
    at "$1" ip link set "$2" up
    at "$3" ip link set "$4" up
}

serve() {
    local name=$1 log=$2
    shift 2
    ip netns exec "$lab_prefix-$name" "$@" >"$lab/$log.log" 2>&1 &
    service=$!
    lab_services+=("$service")
}

stop() {
    local i
    kill -TERM "$1" 2>/dev/null || { wait "$1" 2>/dev/null || true; return 0; }
    for ((i = 0; i < 100; i++)); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# name_server HOST LOG PORT ZONEFILE ORIGIN ADDRESS… : nsd with one zone; waits until it answers.
name_server() {
    local name=$1 log=$2 port=$3 zone=$4 origin=$5 address folder=$lab/nsd-$2 i
    shift 5
    mkdir -p "$folder"
    {
        printf 'server:\n  server-count: 1\n  username: ""\n  zonesdir: "%s"\n  pidfile: "%s/pid"\n' "$folder" "$folder"
        printf '  xfrdfile: "%s/xfrd"\n  xfrdir: "%s"\n  zonelistfile: "%s/zonelist"\n  database: ""\n' "$folder" "$folder" "$folder"
        printf '  logfile: "%s/log"\n  port: %s\n  rrl-ratelimit: 0\n' "$folder" "$port"
        printf '  ip-address: %s\n' "$@"
        printf 'remote-control:\n  control-enable: no\nzone:\n  name: "%s"\n  zonefile: "%s"\n' "$origin" "$zone"
    } >"$folder/nsd.conf"
    # shellcheck disable=SC2086
    serve "$name" "$log" ${name_server_prefix-} nsd -d -c "$folder/nsd.conf"
    for ((i = 0; i < 200; i++)); do
        if at "$name" dig +short +time=1 +tries=1 -p "$port" "@$1" "$origin" SOA 2>/dev/null | grep -q .; then return 0; fi
        kill -0 "$service" 2>/dev/null || break
        sleep 0.05
    done
    echo "nsd does not answer on $1:" >&2
    cat "$lab/$log.log" "$folder/log" >&2
    return 1
}
