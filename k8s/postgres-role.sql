-- Run once by the postgres image on an empty volume (here and in docker-compose.yml): the role that
-- SmartQueue connects as. It owns its database and is no superuser. An unset APP_DB_PASSWORD is a
-- syntax error below, which stops the set-up.
\getenv password APP_DB_PASSWORD
CREATE ROLE smartqueue LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE smartqueue OWNER smartqueue;
