#!/bin/sh
# Starts one redis-server of the examples. At its first start it gets a configuration in its own folder; from then on
# that file is what it is: after a failover Understudy has the node write its new role there (CONFIG REWRITE), so a
# restart brings no old master back.
#
#   NAME                  how others reach this node
#   MASTER                the node that is the master at the very first start
#   REDIS_PASSWORD        what clients and replicas authenticate with
#   UNDERSTUDY_PASSWORD   what Understudy authenticates with
#   MAXMEMORY             for data; half of what the container has: the rest is for copies while the append-only file is
#                         rewritten or a replica begins, and for buffers
#   PORT, DATA            6379, /data
#
# What is changed here or in the variables later is not taken over. Change it at each node (CONFIG SET and CONFIG REWRITE,
# ACL SETUSER), passwords there first.
set -eu
: "${NAME:?}" "${MASTER:?}" "${REDIS_PASSWORD:?}" "${UNDERSTUDY_PASSWORD:?}" "${MAXMEMORY:=256mb}" "${PORT:=6379}" "${DATA:=/data}"

case "$REDIS_PASSWORD$UNDERSTUDY_PASSWORD" in
*[[:space:]\"\']*)
	echo "redis.sh: a password has a space or a quote in it, which redis.conf would take for something else: choose another one" >&2
	exit 1
	;;
esac
if ! [ -e "$DATA/redis.conf" ]; then
	umask 077
	cat >"$DATA/new.conf" <<END
port $PORT
dir "$DATA"
appendonly yes
maxmemory $MAXMEMORY
repl-backlog-size 16mb
requirepass $REDIS_PASSWORD
masterauth $REDIS_PASSWORD
user understudy on >$UNDERSTUDY_PASSWORD resetkeys resetchannels &understudy* +info +role +time +ping +command +client +config|rewrite +replicaof +failover +replconf +subscribe +pubsub +multi +exec +script|load +script|flush
replica-announce-ip $NAME
replica-announce-port $PORT
END
	if [ "$NAME:$PORT" != "$MASTER" ]; then
		echo "replicaof ${MASTER%:*} ${MASTER##*:}" >>"$DATA/new.conf"
	fi
	mv "$DATA/new.conf" "$DATA/redis.conf"
fi
exec redis-server "$DATA/redis.conf"
