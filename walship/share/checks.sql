-- What walship drill asks the restored cluster: each statement must return one
-- row with one value, true; the comment before it is its name in the report.
-- To /etc/walship/checks.sql.

-- it answers
select true;

-- it has the roles of the original: put one of yours here
select count(*) > 0 from pg_roles where rolcanlogin;

-- there is something in it: put a table and the age of its newest row here
select count(*) > 0 from pg_class where relkind = 'r';
