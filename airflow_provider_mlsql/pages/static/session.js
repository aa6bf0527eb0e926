// Before Airflow 3.1.1, browsers have no cookie for the API server: Airflow's UI keeps a token in the storage of the browser.
// This script loads the page with it.
"use strict";
(async () => {
  const token = localStorage.getItem("token");
  if (!token) {
    return;
  }
  const response = await fetch(location.href, { headers: { Authorization: `Bearer ${token}`, Accept: "text/html" } });
  if (response.status === 401) {
    return;
  }
  const text = await response.text();
  history.replaceState(null, "", response.url); // where a redirection has led to
  if (response.headers.get("content-type").startsWith("text/html")) {
    document.open();
    document.write(text); // of the server of this page, which has escaped all values
    document.close();
  } else {
    const log = document.createElement("pre");
    log.textContent = text;
    document.body.replaceChildren(log);
  }
})();
