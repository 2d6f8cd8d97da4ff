// Drawing: pictures, gauges of intensities, lines of measurements.
const COLOURS = {sound: '#2a78d6', touch: '#e08a1e', smell: '#3d9a5f', taste: '#c2478f'};

// A chunk as {header, frames: [{sight, levels}], sound}; see stale_jax/serving/wire.py.
export function decode(buffer) {
  const size = new DataView(buffer).getUint16(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 2, size)));
  let at = 2 + size;
  const frames = [];
  let sound = null;
  const frame = (i) => frames[i] ??= {sight: null, levels: {}};
  for (const part of header.parts) {
    const pieces = part.bytes.map((length) => {
      at += length;
      return new Uint8Array(buffer, at - length, length);
    });
    const [count, ...shape] = part.shape;
    if (part.encoding === 'pcm16') {
      const bytes = pieces[0].slice().buffer;
      sound = {samples: new Int16Array(bytes), ears: shape[0] ?? 1, rate: part.rate};
    } else if (part.encoding === 'jpeg') {
      pieces.forEach((piece, i) => { frame(i).sight = {jpeg: piece, width: shape[1], height: shape[0]}; });
    } else {
      const each = pieces[0].length / count;
      for (let i = 0; i < count; i++) {
        const values = pieces[0].subarray(i * each, (i + 1) * each);
        if (part.sense === 'sight') frame(i).sight = {rgb: values, width: shape[1], height: shape[0]};
        else frame(i).levels[part.sense] = values;
      }
    }
  }
  return {header, frames, sound};
}

// The picture of a frame as something that a canvas draws.
export async function picture(sight) {
  if (sight.jpeg) return createImageBitmap(new Blob([sight.jpeg], {type: 'image/jpeg'}));
  const data = new ImageData(sight.width, sight.height);
  for (let i = 0, j = 0; i < sight.rgb.length; i += 3, j += 4) {
    data.data[j] = sight.rgb[i];
    data.data[j + 1] = sight.rgb[i + 1];
    data.data[j + 2] = sight.rgb[i + 2];
    data.data[j + 3] = 255;
  }
  return createImageBitmap(data);
}

// Meters for the channels of all senses but sight; returns the function that shows the levels of a frame.
export function gauges(root, senses) {
  const meters = {};
  for (const [name, {channels}] of Object.entries(senses)) {
    if (name === 'sight') continue;
    const group = document.createElement('div');
    group.style.setProperty('--on', COLOURS[name] ?? '#7c66dc');
    const title = document.createElement('h3');
    title.textContent = name;
    group.append(title);
    meters[name] = channels.map((channel) => {
      const label = document.createElement('label');
      label.className = 'gauge';
      const text = document.createElement('span');
      text.textContent = text.title = channel;
      const meter = document.createElement('meter');
      meter.setAttribute('aria-label', `${name}: ${channel}`);
      label.append(text, meter);
      group.append(label);
      return meter;
    });
    root.append(group);
  }
  return (levels) => {
    for (const [name, values] of Object.entries(levels)) {
      meters[name]?.forEach((meter, i) => { meter.value = values[i] / 255; });
    }
  };
}

// Lines of the newest values; `series` are [name, colour, dashes].
export class Plot {
  constructor(canvas, series, unit, most = 120) {
    this.canvas = canvas;
    this.series = series;
    this.unit = unit;
    this.most = most;
    this.values = series.map(() => []);
  }

  add(...values) {
    values.forEach((value, i) => {
      this.values[i].push(value);
      if (this.values[i].length > this.most) this.values[i].shift();
    });
    this.draw();
  }

  draw() {
    const {canvas} = this, ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext('2d');
    context.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const top = Math.max(...this.values.flat().filter(Number.isFinite), 1e-6) * 1.1;
    context.font = '11px system-ui, sans-serif';
    context.fillStyle = style.getPropertyValue('--dim');
    context.fillText(`${top < 10 ? top.toFixed(1) : Math.round(top)} ${this.unit}`, 8, 15);
    this.series.forEach(([name, colour, dashes], i) => {
      context.strokeStyle = context.fillStyle = colour;
      context.lineWidth = 1.5;
      context.setLineDash(dashes ?? []);
      context.beginPath();
      this.values[i].forEach((value, j) => {
        const x = width * (j + this.most - this.values[i].length) / (this.most - 1);
        const y = (height - 4) * (1 - value / top) + 2;
        if (j) context.lineTo(x, y);
        else context.moveTo(x, y);
      });
      context.stroke();
      if (this.series.length > 1) context.fillText(name, 8 + 110 * i, height - 8);
    });
    const last = this.values.map((values, i) => `${this.series[i][0]} ${Math.round(10 * values.at(-1)) / 10} ${this.unit}`);
    canvas.setAttribute('aria-label', last.join(', '));
  }
}

// Mean absolute difference of the colours of two pictures, from 0 to 1; their opaque pixels are RGBA bytes.
export function change(a, b) {
  if (!a || !b || a.length !== b.length) return NaN;
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i] - b[i]);
  return sum / (0.75 * a.length) / 255;
}
