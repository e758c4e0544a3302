"use strict";
// A page of live plots: joins its Bokeh session, shows what the figures note for the page, and keeps at it.
// Whatever the cluster says is put into the page as text, never as HTML.

(async () => {
  const POLL = 2000;
  const main = document.querySelector("main");
  const { token } = JSON.parse(main.dataset.session);
  const panels = [...main.querySelectorAll("section")];
  const sleep = (milliseconds) => new Promise((wake) => setTimeout(wake, milliseconds));

  function notice(text) {
    const element = document.getElementById("notice");
    element.textContent = text;
    element.hidden = !text;
  }

  function showNote(figure) {
    const panel = document.getElementById(figure.name);
    const [note] = figure.tags;
    panel.classList.toggle("is-empty", note.empty);
    panel.querySelector(".caption").textContent = note.caption;
    const summary = document.getElementById("summary");
    if (summary) summary.textContent = note.summary;
  }

  // A new page has a new session, whether the link was cut or the dashboard was started afresh.
  async function revive() {
    notice("The connection to the cluster's dashboard was lost. Trying again…");
    for (let pause = 500; ; pause = Math.min(2 * pause, 8000)) {
      await sleep(pause);
      const answer = await fetch("health").catch(() => null);
      if (answer && answer.ok) return location.reload();
    }
  }

  function row(table, name, value) {
    const line = table.insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    line.append(head);
    line.insertCell().textContent = value;
  }

  function showFigures(figures) {
    const megabytes = (bytes) => `${Math.round(bytes / 2 ** 20).toLocaleString("en")} MiB`;
    const tables = {
      "task-stream": [["done", figures.done], ["failed", figures.erred], ["in memory", figures.memory]],
      progress: figures.prefixes.map((p) => [
        p.name,
        `${p.done + p.erred} / ${p.done + p.erred + p.processing + p.queued + p.waiting + p.no_worker}`,
      ]),
      "workers-memory": [
        ["workers", figures.workers],
        ["memory", megabytes(figures.bytes)],
        ["results", megabytes(figures.stored)],
        ["limit", figures.limit ? megabytes(figures.limit) : "none"],
      ],
      nprocessing: [["running or next", figures.processing], ["queued", figures.queued], ["waiting", figures.waiting]],
    };
    for (const panel of panels) {
      const table = document.createElement("table");
      table.className = "figures";
      for (const [name, value] of tables[panel.id] ?? []) row(table, name, value);
      panel.classList.remove("is-loading");
      panel.querySelector(".plot").replaceChildren(table);
    }
  }

  // Some networks let no websocket through: then figures must do.
  async function poll() {
    const blocked = "Live plots need a websocket, and something between here and the cluster blocks it.";
    for (;;) {
      const answer = await fetch("json/counts.json").catch(() => null);
      if (answer && answer.ok) {
        showFigures(await answer.json());
        notice(`${blocked} These figures are refreshed every ${POLL / 1000} seconds.`);
      } else {
        notice("The cluster's dashboard does not answer. Trying again…");
      }
      await sleep(POLL);
    }
  }

  const socket = new URL(`${location.pathname}/ws`, location.href);
  socket.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const places = panels.map((panel) => panel.querySelector(".plot"));
  try {
    await Bokeh.embed.add_document_from_session(socket.href, token, document.body, places, false);
  } catch (error) {
    console.warn("The live plots could not be joined:", error);
    return poll();
  }
  const session = Bokeh.documents.at(-1);
  for (const figure of session.roots()) {
    showNote(figure);
    figure.properties.tags.change.connect(() => showNote(figure));
  }
  for (const panel of panels) panel.classList.remove("is-loading");
  session.on_event("connection_lost", revive);
})();
