"""The base of operators whose argument ``sql`` may be the name of a file with a query."""

from __future__ import annotations

from typing import Any

from airflow_provider_mlsql.operators.base import MLSQLOperator

_EXTENSION = ".sql"


class QueryFileOperator(MLSQLOperator):
    """Reads the file that ``sql`` names, from the folders of Airflow's templates.

    Airflow's own ``template_ext`` would also take other arguments, and texts inside of them, for names of files.
    """

    sql: Any

    def render_template(self, content: Any, context: Any, jinja_env: Any = None, seen_oids: set[int] | None = None) -> Any:
        """Render a text, or for the name of the query's file the text in the file.

        :raises jinja2.TemplateNotFound: when there is no such file.
        """
        if isinstance(content, str) and content.endswith(_EXTENSION) and content == self.sql:
            jinja_env = jinja_env or self.get_template_env()
            content = jinja_env.loader.get_source(jinja_env, content)[0]
        return super().render_template(content, context, jinja_env, seen_oids)
