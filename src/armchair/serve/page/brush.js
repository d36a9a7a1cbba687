// The mask brush. What is painted lies on a canvas above the picture; armchairBrush.mask() is that canvas as a
// PNG, transparent where nothing was painted.
(() => {
  const SIDE = 512; // pixels that the longer side of the canvas has at least
  const find = (name) => document.querySelector(`#brush ${name}`);
  let last = null;
  let painted = false;

  const place = (canvas, event) => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale, scale };
  };

  const stroke = (canvas, from, to) => {
    const pen = canvas.getContext("2d");
    pen.lineWidth = find("input").value * to.scale;
    pen.lineCap = "round";
    pen.strokeStyle = "#ff3b30";
    pen.beginPath();
    pen.moveTo(from.x, from.y);
    pen.lineTo(to.x + 0.01, to.y);
    pen.stroke();
    painted = true;
  };

  const clear = () => {
    const canvas = find("canvas");
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    painted = false;
  };

  const show = (url) => {
    const image = find("img");
    if (!image) {
      setTimeout(() => show(url), 50); // its tab was never open
      return;
    }
    find(".sheet").hidden = !url;
    if (!url) return;
    image.onload = () => {
      const times = Math.max(1, Math.floor(SIDE / Math.max(image.naturalWidth, image.naturalHeight)));
      const canvas = find("canvas");
      canvas.width = image.naturalWidth * times;
      canvas.height = image.naturalHeight * times;
      clear();
      find(".sheet").dataset.ready = url;
    };
    image.src = url;
  };

  document.addEventListener("pointerdown", (event) => {
    const canvas = find("canvas");
    if (event.target !== canvas) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    last = place(canvas, event);
    stroke(canvas, last, last);
  });
  document.addEventListener("pointermove", (event) => {
    if (last === null) return;
    const canvas = find("canvas");
    const next = place(canvas, event);
    stroke(canvas, last, next);
    last = next;
  });
  for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => (last = null));
  document.addEventListener("click", (event) => {
    if (event.target === find("button")) clear();
  });

  window.armchairBrush = { show, mask: () => (painted ? find("canvas").toDataURL() : "") };
})();
