# Sourced by the image when the data folder is new: Muster's own role, which is no superuser, and its database.
psql --quiet --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 \
    --set password="$(cat /run/secrets/database_password)" <<'SQL'
CREATE ROLE muster LOGIN PASSWORD :'password';
CREATE DATABASE muster OWNER muster;
REVOKE CONNECT ON DATABASE muster FROM PUBLIC;
SQL
