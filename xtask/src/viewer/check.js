// Added to a page of `lockstep explain --html` by `cargo xtask viewer`: works the page by its own events, and leaves the
// verdict in the attribute `data-checked` of the document.
(async () => {
  "use strict";
  const root = document.documentElement, $ = (id) => document.getElementById(id), canvas = $("canvas");
  let checks = 0;
  const check = (holds, what) => {
    if (!holds) throw new Error(what);
    checks++;
  };
  const frame = () => new Promise((done) => setTimeout(done, 20));
  const point = (type, { x, y }) => canvas.dispatchEvent(new PointerEvent(type, { clientX: x, clientY: y, pointerId: 1, bubbles: true }));
  const click = (at) => ["pointermove", "pointerdown", "pointerup"].forEach((type) => point(type, at));
  const key = (name) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
  const state = () => viewer.state();
  const pixels = () => {
    viewer.paint();
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  };
  const differ = (a, b) => a.some((value, i) => value !== b[i]);

  async function general() {
    check(/ issues in /.test($("status").textContent), "status: " + $("status").textContent);
    check($("block").options.length > 0 && $("phases").rows.length > 1, "no blocks or phases");
    check($("legend").children.length === 12 && $("chain").rows.length > 0, "no legend or chain");
    check(performance.getEntriesByType("resource").length === 0, "the page asks for other files");
    const plain = pixels();
    check(state().drawn > 0 && plain.some((value) => value !== 0), "nothing is drawn");
    key("c");
    check($("critical").checked && differ(plain, pixels()), "the critical chain is not drawn");
    key("c");
    const whole = state();
    const middle = { clientX: canvas.clientWidth / 2, clientY: 100, bubbles: true, cancelable: true };
    canvas.dispatchEvent(new WheelEvent("wheel", { ...middle, deltaY: -300 }));
    viewer.paint();
    check(Math.abs(state().scale / whole.scale - Math.E) < 1e-3, "the wheel does not zoom");
    const before = state().x0;
    point("pointerdown", { x: 400, y: 200 });
    point("pointermove", { x: 340, y: 200 });
    point("pointerup", { x: 340, y: 200 });
    check(Math.abs(state().x0 - before - 60 / state().scale) < 1e-6, "a drag does not move");
    check(state().selected === -1, "a drag selects");
    const zoomed = state().scale;
    key("+");
    check(state().scale > zoomed, "+ does not zoom in");
    key("-");
    key("ArrowRight");
    check(state().x0 > before, "the arrow does not move");
    key("0");
    viewer.paint();
    check(state().scale === whole.scale && state().x0 === 0, "0 does not show the whole block");
    for (let block = 0; block < $("block").options.length; block++) {
      $("block").value = block;
      $("block").dispatchEvent(new Event("change"));
      viewer.paint();
      check(state().block === block && (state().drawn > 0 || state().chain === 0), "block " + block + " is not drawn");
    }
    $("block").value = whole.block;
    $("block").dispatchEvent(new Event("change"));
  }

  // Words at cycle 0 or 1, the sum at 7, its bytes in memory at 11.
  async function vectorAdd() {
    const sum = viewer.issue("alu.0", 7);
    check(sum >= 0, "no sum at 7");
    point("pointermove", viewer.point(sum));
    check(!$("tip").hidden && /alu op=add/.test($("tip").textContent), "the sum has no tip: " + $("tip").textContent);
    click(viewer.point(sum));
    check(state().selected === sum, "a click does not select");
    const details = $("details").textContent;
    check(/alu\.0/.test(details) && /7 of 12/.test(details) && /op=add a=e0:f32/.test(details), details);
    const producers = $("producers").querySelectorAll("button"), consumers = $("consumers").querySelectorAll("button");
    check(producers.length === 8 && consumers.length === 4, `${producers.length} producers, ${consumers.length} consumers`);
    const word = [...producers].find((button) => /mem\.w0 /.test(button.textContent));
    word.click();
    check(/mem\.w0/.test($("details").textContent), "a producer is not followed");
    check(/read a \(input\)/.test($("details").textContent), "the word has no name: " + $("details").textContent);
    check(/input a, word 0/.test($("producers").textContent), $("producers").textContent);
    click(viewer.point(viewer.issue("mem.w4", 0)));
    check(/read b\S* \(bank 0, word 0\)/.test($("details").textContent), "the word has no tensor: " + $("details").textContent);
    check(/image b/.test($("producers").textContent), $("producers").textContent);
    $("consumers").querySelector("button").click();
    check(state().selected === sum, "a consumer is not followed");
    check(location.hash.split("/").length === 3, "the address does not name the instruction: " + location.hash);
    key("Escape");
    check(state().selected === -1 && !$("producers"), "Escape does not let go");
  }

  try {
    for (let i = 0; i < 500 && root.dataset.ready !== "yes"; i++) await frame();
    check(root.dataset.ready === "yes", "the page is not ready: " + $("status").textContent);
    await general();
    if (/^vector-add /.test($("title").textContent)) await vectorAdd();
    root.dataset.back = getComputedStyle(document.body).backgroundColor;
    root.dataset.checked = `passed ${checks}`;
  } catch (error) {
    root.dataset.checked = "failed: " + error.message;
  }
  // The verdict is all that is wanted of the page.
  document.body.replaceChildren();
})();
