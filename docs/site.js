// Tables that are wider than the screen scroll in a box: the keyboard reaches it, too.
const makeReachable = () =>
  document.querySelectorAll(".md-typeset__scrollwrap").forEach((box) => {
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", "table");
  });
addEventListener("load", makeReachable);
new MutationObserver(makeReachable).observe(document.documentElement, { childList: true, subtree: true });
