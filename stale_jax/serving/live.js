// Shows a stream: connection, playback, sound, vibration, recording. The messages are those of wire.py.
import {Plot, change, decode, gauges, picture} from './live.draw.js';

const about = JSON.parse(document.getElementById('about').textContent);
const one = (id) => document.getElementById(id);
const screen = one('screen'), status = one('status'), form = one('form'), state = document.body.dataset;
const show = gauges(one('gauges'), about.senses);
const liveliness = new Plot(one('liveliness'), [['change', '#7c66dc']], '%');
const latency = new Plot(one('latency'), [['age of a frame', '#2a78d6'], ['round trip', '#e08a1e', [4, 3]]], 'ms');
const period = 1000 / about.rate;
const PATIENCE = [250, 500, 1000, 2000, 4000, 8000];  // Milliseconds before each attempt to reconnect.

let socket = null, stream = null, attempts = 0, isWanted = false, timer = 0;
let offset = 0, trip = NaN;  // The server's clock minus ours, in seconds; round trip in ms.
let queue = [], nextAt = 0, before = null, still = 0, counted = 0;
let audio = null, heard = 0, hasSound = false, feels = false, recorder = null;

state.state = 'idle';
one('sound').hidden = !about.senses.sound;
one('feel').hidden = !about.senses.touch || !(navigator.vibrate || navigator.getGamepads);
one('access-row').hidden = !about.needs_access;
one('source-row').hidden = !about.takes_source;
if (about.senses.sight) [screen.height, screen.width] = about.senses.sight.shape;
const pen = screen.getContext('2d', {willReadFrequently: true});
// What is recorded and saved: enlarged, with a line that says that it is generated.
const taken = document.createElement('canvas');
taken.width = 512;
const tall = Math.round(512 * screen.height / screen.width / 2) * 2;
taken.height = tall + 28;

function say(text, kind, isBad = false) {
  if (kind) state.state = kind;
  status.textContent = text;
  status.classList.toggle('bad', isBad);
}

function enable() {
  const runs = isWanted;
  one('go').textContent = runs ? 'Change prompt' : 'Start';
  for (const id of ['stop', 'record', 'save']) one(id).disabled = !runs;
  for (const input of form.elements.source) input.disabled = runs;
}

const send = (message) => socket?.readyState === 1 && socket.send(JSON.stringify(message));
const source = () => form.elements.source.value;

function connect() {
  clearTimeout(timer);
  const own = socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/live`);
  own.binaryType = 'arraybuffer';
  own.onopen = () => {
    const common = {sound: hasSound, access: one('access').value};
    if (stream) send({type: 'resume', stream: stream.stream, token: stream.token, ...common});
    else send({type: 'open', prompt: one('prompt').value.trim(), source: source() !== 'none', ...common});
    ping();
  };
  own.onmessage = ({data}) => typeof data === 'string' ? told(JSON.parse(data)) : made(decode(data));
  own.onclose = () => {
    if (own !== socket || !isWanted) return;
    if (attempts >= PATIENCE.length) {
      stop('The connection is lost. Press Start for a new stream.', true);
      return;
    }
    say('The connection is lost; reconnecting ...', 'reconnecting', true);
    timer = setTimeout(connect, PATIENCE[attempts++]);
  };
}

function told(event) {
  if (event.type === 'opened' || event.type === 'resumed') {
    stream = event;
    sessionStorage.stream = JSON.stringify({stream: event.stream, token: event.token});
    attempts = 0;
    state.stream = event.stream;
    offset = event.clock - performance.now() / 1000;
    say(event.type === 'opened' ? 'The first frames are being made ...' : 'Connected again.', event.type);
    if (event.type === 'resumed') one('prompt').value = event.prompt;
    else if (source() !== 'none') startSource();
  } else if (event.type === 'pong') {
    const now = performance.now() / 1000;
    trip = 1000 * (now - event.sent);
    offset = event.clock - (now + event.sent) / 2;
  } else if (event.type === 'prompt') {
    say(`Changing to “${event.prompt}” in about ${about.delay_seconds.toFixed(1)} s ...`);
  } else if (event.type === 'dropped') {
    say(`${event.chunks} piece(s) of the movie were skipped: the connection is slow.`, null, true);
  } else if (event.type === 'draining') {
    say('The server is about to stop.', null, true);
  } else if (event.type === 'closed') {
    stop(event.reason === 'closed' ? 'Stopped.' : `The stream has ended: ${event.reason}.`, event.reason !== 'closed');
  } else if (event.type === 'error') {
    if (event.fatal && event.code === 'idle') return;  // The connection closes, and is resumed.
    if (event.fatal || !stream) stop(event.message, true);
    else say(event.message, null, true);
    state.error = event.code;
  }
}

function ping() {
  send({type: 'ping', sent: performance.now() / 1000});
}
setInterval(ping, 2000);

// A chunk has arrived.
function made({header, frames, sound}) {
  frames.forEach((frame, i) => queue.push({...frame, header, isFirst: !i}));
  // More than two chunks in the queue would only add delay.
  if (queue.length > 3 * about.chunk) queue = queue.slice(-2 * about.chunk);
  if (state.state !== 'streaming') say('Streaming.', 'streaming');
  state.chunk = header.chunk;
  if (sound && hasSound) hear(sound);
}

function hear({samples, ears, rate}) {
  const buffer = audio.createBuffer(ears, samples.length / ears, rate);
  for (let ear = 0; ear < ears; ear++) {
    const data = buffer.getChannelData(ear);
    for (let i = 0; i < data.length; i++) data[i] = samples[i * ears + ear] / 32768;
  }
  const now = audio.currentTime;
  if (heard < now || heard > now + 3 * buffer.duration) heard = now + 0.05;
  const node = audio.createBufferSource();
  node.buffer = buffer;
  node.connect(audio.destination);
  if (audio.tape) node.connect(audio.tape);
  node.start(heard);
  heard += buffer.duration;
}

// Playback at the frame rate, from the queue.
async function play(now) {
  requestAnimationFrame(play);
  if (!queue.length || now < nextAt) return;
  nextAt = Math.max(nextAt + period, now - period);
  const frame = queue.shift(), {header} = frame;
  if (frame.sight) {
    const image = await picture(frame.sight);
    pen.drawImage(image, 0, 0, screen.width, screen.height);
    const context = taken.getContext('2d');
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 0, 0, 512, tall);
    context.fillStyle = '#111116';
    context.fillRect(0, tall, 512, 28);
    context.fillStyle = '#ededf0';
    context.font = '14px system-ui, sans-serif';
    context.fillText(about.generated_by.replace(/^/, 'generated by '), 10, tall + 19);
  }
  show(frame.levels);
  if (feels && frame.levels.touch) feel(frame.levels.touch);
  if (state.prompt !== header.prompt) {
    state.prompt = header.prompt;
    screen.setAttribute('aria-label', `generated movie: ${header.prompt || 'without a prompt'}`);
    if (state.state === 'streaming') say(`Streaming: ${header.prompt || 'without a prompt'}`);
  }
  measure(frame);
}

// Liveliness here: how much the picture changes from frame to frame, in per cent of what real clips change,
// or of the brightness if the server has no real clips.
function measure({sight, header, isFirst}) {
  const pixels = sight ? pen.getImageData(0, 0, screen.width, screen.height).data : null;
  const changed = change(before, pixels), moved = 100 * changed / (about.real_change ?? 1);
  before = pixels;
  if (Number.isFinite(moved)) {
    still = changed < 1 / 255 ? still + 1 : 0;
    liveliness.add(moved);
  }
  const age = 1000 * (performance.now() / 1000 + offset - header.made);
  if (isFirst) latency.add(age, trip);
  if (isFirst && performance.now() > counted + 1000) {  // Once a second.
    counted = performance.now();
    const stills = still > 1 ? `; nothing has moved for ${still} frames` : '';
    if (Number.isFinite(moved)) one('liveliness-text').textContent = about.real_change ?
      `It changes ${moved.toFixed(0)} % as much from frame to frame as real clips do${stills}.` :
      `${moved.toFixed(1)} % of the brightness changes from frame to frame${stills}.`;
    one('latency-text').textContent = `A frame is shown ${Math.round(age)} ms after it was made; the round trip ` +
      `takes ${Number.isFinite(trip) ? trip.toFixed(0) : '?'} ms. A new prompt is seen after about ` +
      `${about.delay_seconds.toFixed(1)} s.`;
  }
}

// Touch on a gamepad, or as vibration of a phone.
function feel(levels) {
  const left = Math.max(...[...levels].filter((_, i) => i % 2 === 0)) / 255;
  const right = Math.max(0, ...[...levels].filter((_, i) => i % 2)) / 255;
  if (Math.max(left, right) < 0.2) return;
  for (const pad of navigator.getGamepads?.() ?? []) {
    const strength = {duration: period, strongMagnitude: left, weakMagnitude: right};
    pad?.vibrationActuator?.playEffect('dual-rumble', strength).catch(() => {});
  }
  navigator.vibrate?.(Math.round(period * Math.max(left, right)));
}

// Video-to-video: pictures of the webcam or of a file, at the frame rate of the model.
let feeding = 0, video = null;
async function startSource() {
  stopSource();
  video = document.createElement('video');
  video.muted = video.loop = video.playsInline = true;
  let still = null;
  try {
    if (source() === 'webcam') {
      video.srcObject = await navigator.mediaDevices.getUserMedia({video: {width: 320, height: 240}});
    } else {
      const [file] = one('file').files;
      if (!file) throw new Error('choose a file first');
      if (file.type.startsWith('image/')) still = await createImageBitmap(file);
      else video.src = URL.createObjectURL(file);
    }
    if (!still) await video.play();
  } catch (error) {
    say(`The source cannot be used: ${error.message}.`, null, true);
    return;
  }
  const canvas = document.createElement('canvas');
  const scale = Math.max(screen.width, screen.height) > 128 ? 1 : 8;
  [canvas.width, canvas.height] = [screen.width * scale, screen.height * scale];
  feeding = setInterval(() => {
    const [width, height] = still ? [still.width, still.height] : [video.videoWidth, video.videoHeight];
    if (socket?.readyState !== 1 || !width) return;
    const fit = Math.max(canvas.width / width, canvas.height / height);
    canvas.getContext('2d').drawImage(still ?? video, (canvas.width - width * fit) / 2,
      (canvas.height - height * fit) / 2, width * fit, height * fit);
    canvas.toBlob((blob) => blob && socket?.readyState === 1 && socket.send(blob), 'image/jpeg', 0.85);
  }, period);
}

function stopSource() {
  clearInterval(feeding);
  video?.srcObject?.getTracks().forEach((track) => track.stop());
  video = null;
}

function stop(text, isBad = false) {
  isWanted = false;
  clearTimeout(timer);
  stopSource();
  if (recorder) one('record').click();
  delete sessionStorage.stream;
  stream = null;
  socket?.close();
  queue = [];
  say(text, 'idle', isBad);
  enable();
}

function begin() {
  isWanted = true;
  attempts = 0;
  delete state.error;
  say('Connecting ...', 'connecting');
  enable();
  connect();
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (!isWanted) begin();
  else send({type: 'prompt', prompt: one('prompt').value.trim()});
});
form.addEventListener('change', () => { one('file').hidden = source() !== 'file'; });
one('stop').addEventListener('click', () => {
  send({type: 'close'});
  stop('Stopped.');
});
one('sound').addEventListener('click', () => {
  hasSound = !hasSound;
  audio ??= new AudioContext();
  if (hasSound) audio.resume();
  send({type: 'sound', on: hasSound});
  toggle('sound', hasSound, 'Sound');
});
one('feel').addEventListener('click', () => {
  feels = !feels;
  toggle('feel', feels, 'Vibration');
});
function toggle(id, isOn, name) {
  one(id).setAttribute('aria-pressed', isOn);
  one(id).textContent = `${name} ${isOn ? 'off' : 'on'}`;
}

function offer(blob, name) {
  const link = one('download');
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.textContent = `Download ${name.split('.').pop()}`;
  link.hidden = false;
  link.click();
}
one('save').addEventListener('click', () => taken.toBlob((blob) => offer(blob, 'generated-by-stale_jax.png')));
one('record').addEventListener('click', () => {
  if (recorder) {
    recorder.stop();
    recorder = null;
  } else {
    const tracks = taken.captureStream(about.rate).getTracks();
    if (audio) {
      audio.tape ??= audio.createMediaStreamDestination();
      tracks.push(...audio.tape.stream.getAudioTracks());
    }
    const own = recorder = new MediaRecorder(new MediaStream(tracks));
    const pieces = [];
    own.ondataavailable = ({data}) => pieces.push(data);
    own.onstop = () => offer(new Blob(pieces, {type: own.mimeType}), 'generated-by-stale_jax.webm');
    own.start(1000);
  }
  one('record').setAttribute('aria-pressed', !!recorder);
  one('record').textContent = recorder ? 'Stop recording' : 'Record';
});
for (const plot of [liveliness, latency]) new ResizeObserver(() => plot.draw()).observe(plot.canvas);

// After a reload, the stream goes on.
if (sessionStorage.stream) {
  stream = JSON.parse(sessionStorage.stream);
  begin();
}
requestAnimationFrame(play);
