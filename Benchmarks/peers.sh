# What webtun is measured beside. To be sourced by bash, with scripts/lab.sh, which sets $lab.
#
#   redirect               sends the queries of host box for $resolver to the peer, which listens on 127.0.0.1:5353
#   configure_PEER         writes a configuration that blocks the names of $lab/names.domains (names.hosts) and asks $upstream
#                          for others; the command that starts the peer stands in the array `command`
#   peer_version PEER      name and version

redirect() {
    at box nft -f - <<'RULES'
table ip bench {
    chain out {
        type nat hook output priority -100
        ip daddr 198.51.100.53 udp dport 53 redirect to :5353
    }
}
RULES
}

configure_unbound() {
    {
        cat <<CONF
server:
  interface: 127.0.0.1@5353
  access-control: 0.0.0.0/0 allow
  num-threads: 1
  msg-cache-size: 64m
  rrset-cache-size: 64m
  outgoing-range: 4096
  num-queries-per-thread: 2048
  so-rcvbuf: 4m
  so-sndbuf: 4m
  do-not-query-localhost: no
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  directory: "$lab"
  pidfile: ""
  module-config: "iterator"
CONF
        sed 's/.*/  local-zone: "&." always_null/' "$lab/names.domains"
        printf 'forward-zone:\n  name: "."\n  forward-addr: %s\nremote-control:\n  control-enable: no\n' $upstream
    } >"$lab/unbound.conf"
    command=(unbound -d -c "$lab/unbound.conf")
}

configure_dnsdist() {
    cat >"$lab/dnsdist.conf" <<CONF
setLocal("127.0.0.1:5353")
setACL({"0.0.0.0/0"})
setSecurityPollSuffix("")
setUDPSocketBufferSizes(4194304, 4194304)
newServer({address="$upstream:53", checkName="check.hot.example.", checkInterval=30, sockets=8})
names = newSuffixMatchNode()
for line in io.lines("$lab/names.domains") do names:add(newDNSName(line)) end
addAction(SuffixMatchNodeRule(names, true), SpoofAction({"0.0.0.0", "::"}))
getPool(""):setCache(newPacketCache(500000))
CONF
    command=(dnsdist --supervised --disable-syslog -C "$lab/dnsdist.conf")
}

configure_dnsmasq() {
    cat >"$lab/dnsmasq.conf" <<CONF
port=5353
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
addn-hosts=$lab/names.hosts
server=$upstream
cache-size=20000
dns-forward-max=1000
user=root
pid-file=$lab/dnsmasq.pid
CONF
    command=(dnsmasq --keep-in-foreground -C "$lab/dnsmasq.conf")
}

peer_version() {
    case $1 in
        unbound) echo "unbound $(unbound -V | awk 'NR == 1 { print $2 }') local-zone" ;;
        dnsdist) echo "dnsdist $(dnsdist --version | awk 'NR == 1 { print $2 }')" ;;
        dnsmasq) echo "dnsmasq $(dnsmasq --version | awk 'NR == 1 { print $3 }') hosts" ;;
    esac
}
