#!/bin/sh
# Makes what is secret, once: what is there already stays. A file of the same name in deploy/compose/secrets is taken
# instead of a random one; it counts at the first start only, for the services keep what they were told then.
set -eu

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# secret FILE NAME: the operator's own, else a random one.
secret() {
    [ ! -s "$1" ] || return 0
    if [ -s "/own/$2" ]; then tr -d '\r\n' < "/own/$2" > "$1.new"; else random > "$1.new"; fi
    chmod 444 "$1.new" # only the containers that are given this volume reach it, and each has a user of its own
    mv "$1.new" "$1"
}

secret /secrets/postgres/password postgres_password
secret /secrets/rabbitmq/password rabbitmq_password
secret /secrets/rabbitmq/cookie rabbitmq_cookie
secret /secrets/metrics/token metrics_token
secret /secrets/grafana/password grafana_password

# RabbitMQ reads its first user from its own kind of file.
rm -f /secrets/rabbitmq/90-user.conf
printf 'default_user = prosa\ndefault_pass = %s\n' "$(cat /secrets/rabbitmq/password)" > /secrets/rabbitmq/90-user.conf
chmod 444 /secrets/rabbitmq/90-user.conf

# Keys of models are the operator's, and may be changed: `docker compose up -d --force-recreate secrets gateway worker`.
for key in /own/*_api_key; do
    [ -s "$key" ] || continue
    rm -f "/secrets/models/${key##*/}"
    tr -d '\r\n' < "$key" > "/secrets/models/${key##*/}"
    chmod 444 "/secrets/models/${key##*/}"
done
