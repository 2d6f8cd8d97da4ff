// Keeps the playhead of every plot and the storyboard with the video; a click on either seeks.
for (const movie of document.querySelectorAll('.stale .movie[data-seconds]:not([data-live])')) {
  movie.dataset.live = '';
  const video = movie.querySelector('video');
  const seconds = +movie.dataset.seconds;
  const frames = [...movie.querySelectorAll('.board figure')];
  let shown = -1;
  const tick = () => {
    if (!movie.isConnected) return;
    const at = Math.min(video.currentTime / seconds, 1);
    movie.style.setProperty('--at', at);
    const frame = Math.min(Math.floor(at * frames.length + 1e-3), frames.length - 1);
    if (frame !== shown) {
      if (shown >= 0) frames[shown].classList.remove('now');
      frames[frame].classList.add('now');
      shown = frame;
    }
    requestAnimationFrame(tick);
  };
  const seek = (at) => {
    video.pause();
    video.currentTime = at * seconds;
  };
  frames.forEach((figure, i) => figure.addEventListener('click', () => seek((i + 0.5) / frames.length)));
  for (const rows of movie.querySelectorAll('.rows')) {
    rows.addEventListener('click', (event) => {
      const box = rows.getBoundingClientRect();
      seek((event.clientX - box.left) / box.width);
    });
  }
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) {
    video.autoplay = false;
    video.pause();
  }
  tick();
}
