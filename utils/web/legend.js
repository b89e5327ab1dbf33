// The legend: a button a class, which switches it on and off. Body of a function of `element`, `props`, `watch`; see
// gr.HTML's js_on_load. What is shown goes back to the server as part of the component's value, with the downloads.
const list = element.querySelector(".classes");
const tools = element.querySelector(".tools");

function tell(name, detail) {
  document.dispatchEvent(new CustomEvent(`parsing:${name}`, { detail }));
}

function show(indices) {
  props.value = { ...props.value, shown: indices };
  mark();
  tell("shown", indices);
}

function mark() {
  for (const button of list.children) {
    button.setAttribute("aria-pressed", props.value.shown.includes(Number(button.dataset.index)));
  }
}

function percent(value) {
  return value < 0.1 ? "< 0.1 %" : `${value.toFixed(1)} %`;
}

function build() {
  const rows = (props.value && props.value.rows) || [];
  tools.hidden = rows.length === 0;
  list.replaceChildren(
    ...rows.map((row) => {
      const button = document.createElement("button");
      const swatch = document.createElement("span");
      const share = document.createElement("small");
      button.type = "button";
      button.dataset.index = row.index;
      swatch.className = "swatch";
      swatch.style.setProperty("--colour", row.colour);
      share.textContent = percent(row.percent);
      button.append(swatch, row.name, share);
      return button;
    }),
  );
  mark();
}

function indexOf(event) {
  const button = event.target.closest(".classes button");
  return button ? Number(button.dataset.index) : null;
}

list.addEventListener("click", (event) => {
  const index = indexOf(event);
  if (index === null) return;
  const shown = props.value.shown;
  show(shown.includes(index) ? shown.filter((other) => other !== index) : [...shown, index]);
});
for (const kind of ["pointerover", "focusin"]) list.addEventListener(kind, (event) => tell("light", indexOf(event)));
for (const kind of ["pointerleave", "focusout"]) list.addEventListener(kind, () => tell("light", null));
tools.querySelector(".all").addEventListener("click", () => show(props.value.rows.map((row) => row.index)));
tools.querySelector(".none").addEventListener("click", () => show([]));
watch("value", build);
build();
