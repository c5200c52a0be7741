-- Run once by the postgres image on an empty volume (here and in docker-compose.yml): the role that
-- SmartQueue connects as, and the one that its web requests take, which row-level security holds. The first owns
-- its database; neither is a superuser. An unset APP_DB_PASSWORD is a syntax error below, which stops the set-up.
\getenv password APP_DB_PASSWORD
CREATE ROLE smartqueue LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE ROLE smartqueue_web NOLOGIN NOSUPERUSER NOBYPASSRLS;
GRANT smartqueue_web TO smartqueue;
CREATE DATABASE smartqueue OWNER smartqueue;
-- The role for web requests is of the whole server: another installation's login must not come in and take it.
REVOKE CONNECT ON DATABASE smartqueue FROM PUBLIC;
