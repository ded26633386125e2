"use strict";
(() => {
  const said = document.getElementById("said");

  // Old browsers, and pages opened where there is no clipboard.
  const copyByHand = (text) => {
    const field = document.createElement("textarea");
    field.value = text;
    field.setAttribute("readonly", "");
    field.style.position = "fixed";
    field.style.opacity = "0";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return copyByHand(text);
    }
  };
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    const words = button.firstChild;
    button.addEventListener("click", async () => {
      const from = document.getElementById(button.dataset.copy);
      const done = await copy(from.textContent);
      words.data = done ? "Copied" : "Select it";
      said.textContent = done ? "The command was copied." : "It could not be copied.";
      button.focus();
      setTimeout(() => { words.data = "Copy"; }, 2000);
    });
  }

  for (const button of document.querySelectorAll("button[data-unfold]")) {
    button.hidden = false;
    const within = document.getElementById(button.dataset.unfold);
    button.addEventListener("click", () => {
      const open = button.textContent === "Unfold all";
      for (const one of within.querySelectorAll("details.group, .finding > details")) one.open = open;
      button.textContent = open ? "Fold all" : "Unfold all";
    });
  }

  // Leaves the findings in which there is what one types.
  for (const label of document.querySelectorAll("label[data-find]")) {
    label.hidden = false;
    const within = document.getElementById(label.dataset.find);
    const findings = [...within.querySelectorAll(".finding")].map((one) => ({
      one,
      text: one.textContent.toLowerCase(),
    }));
    const groups = [...within.querySelectorAll("details.group")];
    label.querySelector("input").addEventListener("input", (event) => {
      const wanted = event.target.value.trim().toLowerCase();
      let left = 0;
      for (const { one, text } of findings) {
        one.hidden = !text.includes(wanted);
        left += one.hidden ? 0 : 1;
      }
      for (const group of groups) {
        group.hidden = !group.querySelector(".finding:not([hidden])");
        if (wanted) group.open = true;
      }
      said.textContent = `${left} of ${findings.length} findings`;
    });
  }

  // The crash is at the right end of a time line, and that is where one looks first.
  // What is folded away has no width yet; asking for it would lay out the whole page.
  const toEnd = (root) => {
    for (const box of root.querySelectorAll(".scroll.end")) {
      if (!box.closest("details:not([open])")) box.scrollLeft = 1e6;
    }
  };
  toEnd(document);
  document.addEventListener("toggle", (event) => {
    if (event.target.open && !event.target.dataset.seen) {
      event.target.dataset.seen = "yes";
      toEnd(event.target);
    }
  }, true);

  // A link to a finding that is folded away unfolds it.
  const unfoldTo = () => {
    const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    // A former address of a finding stands inside it.
    const target = named && (named.closest(".finding") || named);
    for (let at = target; at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
    }
    const own = target && target.querySelector(":scope > details");
    if (own) own.open = true;
    if (target) target.scrollIntoView({ behavior: "instant" });
  };
  addEventListener("hashchange", unfoldTo);
  unfoldTo();
})();
