// Tables that are wider than the screen scroll in a box: the keyboard reaches it, too. And all regions have names.
const nameRegions = () => {
  document.querySelectorAll(".md-typeset__scrollwrap").forEach((box, place) => {
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", `table ${place + 1}`);
  });
  document.querySelectorAll(".md-code__nav").forEach((buttons, place) => {
    buttons.setAttribute("aria-label", `code ${place + 1}`);
  });
  document.querySelector(".md-search[role=dialog]")?.setAttribute("aria-label", "search");
};
addEventListener("load", nameRegions);
new MutationObserver(nameRegions).observe(document.documentElement, { childList: true, subtree: true });
