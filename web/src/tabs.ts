// Tabs that arrow keys move among, as the ARIA practices have them.

export function tabs(buttons: readonly HTMLElement[], chosen: (index: number) => void): (index: number) => void {
  const choose = (index: number) => {
    buttons.forEach((button, i) => {
      button.setAttribute("aria-selected", String(i === index));
      button.tabIndex = i === index ? 0 : -1;
    });
    chosen(index);
  };
  buttons.forEach((button, index) => {
    button.addEventListener("click", () => choose(index));
    button.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (move === undefined) return;
      event.preventDefault();
      const next = (index + move + buttons.length) % buttons.length;
      choose(next);
      buttons[next]?.focus();
    });
  });
  return choose;
}
