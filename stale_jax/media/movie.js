// Plays and scrubs a movie: the video, the playhead of every plot, the storyboard and the body show one time.
for (const movie of document.querySelectorAll('.stale .movie[data-seconds]:not([data-live])')) {
  movie.dataset.live = '';
  const one = (selector) => movie.querySelector(selector);
  const video = one('video'), time = one('.time'), play = one('.play'), sound = one('.sound');
  const seconds = +movie.dataset.seconds, count = +movie.dataset.frames;
  const board = one('.board'), pictures = [...board.children], stride = +board.dataset.stride;
  const parts = [...movie.querySelectorAll('[data-levels]')].map((part) => [part, part.dataset.levels.split(' ')]);
  const now = () => Math.min(video.currentTime / seconds, 1);
  const frame = () => Math.min(Math.floor(now() * count + 1e-3), count - 1);
  let shown = -1;
  const show = () => {
    movie.style.setProperty('--at', now());
    time.value = now() * count;
    if (frame() === shown) return;
    shown = frame();
    const text = (shown / count * seconds).toFixed(2);
    time.setAttribute('aria-valuetext', `${text} s`);
    one('.clock').textContent = `${text} / ${+seconds.toFixed(2)} s`;
    pictures.forEach((picture, i) => picture.classList.toggle('now', i === Math.floor(shown / stride)));
    for (const [part, levels] of parts) part.style.opacity = levels[shown] / 100;
  };
  const tick = () => {
    if (!movie.isConnected) return;
    show();
    requestAnimationFrame(tick);
  };
  const start = () => video.play().catch(() => {});
  // The end itself is left out, since a loop would continue at the start.
  const seek = (at) => {
    video.currentTime = Math.min(Math.max(at, 0), 1 - 1e-3) * seconds;
    show();
  };

  // The video pauses while it is scrubbed, and continues afterwards if it was playing.
  let playing = false;
  const scrub = (at) => {
    playing ||= !video.paused;
    video.pause();
    seek(at);
  };
  const release = () => {
    if (playing) start();
    playing = false;
  };
  time.addEventListener('input', () => scrub(time.value / count));
  time.addEventListener('change', release);
  time.addEventListener('keydown', (event) => {
    const step = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1}[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    video.pause();
    seek((frame() + step + 0.5) / count);
  });
  for (const rows of movie.querySelectorAll('.rows')) {
    const follow = (event) => {
      const box = rows.getBoundingClientRect();
      scrub((event.clientX - box.left) / box.width);
    };
    rows.addEventListener('pointerdown', (event) => {
      if (event.button) return;
      event.preventDefault();
      rows.setPointerCapture(event.pointerId);
      follow(event);
    });
    rows.addEventListener('pointermove', (event) => rows.hasPointerCapture(event.pointerId) && follow(event));
    rows.addEventListener('lostpointercapture', release);
  }
  pictures.forEach((picture, i) => picture.addEventListener('click', () => {
    video.pause();
    seek((i * stride + 0.5) / count);
  }));

  const label = () => {
    play.textContent = video.paused ? 'Play' : 'Pause';
    if (sound) sound.textContent = video.muted ? 'Sound on' : 'Sound off';
  };
  for (const event of ['play', 'pause', 'volumechange']) video.addEventListener(event, label);
  play.addEventListener('click', () => video.paused ? start() : video.pause());
  video.addEventListener('click', () => play.click());
  sound?.addEventListener('click', () => {
    const muted = !video.muted;
    // One movie at a time is heard.
    for (const other of document.querySelectorAll('.stale .movie video')) other.muted = true;
    video.muted = muted;
  });
  video.controls = false;
  one('.controls').hidden = false;
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) {
    video.autoplay = false;
    video.pause();
  }
  label();
  tick();
}
