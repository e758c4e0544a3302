"use strict";
// Keeps a page without plots fresh: fetches it again and takes over its content, which the server has escaped.

(() => {
  const PERIOD = 2000;

  function followed() {
    return document.querySelector("[data-follow]");
  }

  function toEnd() {
    const list = followed();
    if (list) list.scrollTop = list.scrollHeight;
  }

  async function refresh() {
    if (!document.hidden && document.getSelection().isCollapsed) {
      const answer = await fetch(location.href).catch(() => null);
      if (answer && answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        const list = followed();
        const top = list ? list.scrollTop : 0;
        const atEnd = !list || list.scrollHeight - list.clientHeight - list.scrollTop < 8;
        document.querySelector("main").replaceWith(fresh.querySelector("main"));
        if (atEnd) toEnd();
        else if (followed()) followed().scrollTop = top;
      }
    }
    setTimeout(refresh, PERIOD);
  }

  toEnd();
  setTimeout(refresh, PERIOD);
})();
