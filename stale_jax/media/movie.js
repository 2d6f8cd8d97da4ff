// Moves the line on every plot of a movie with its video.
for (const movie of document.querySelectorAll('.stale .movie:not([data-live])')) {
  movie.dataset.live = 1;
  const video = movie.querySelector('video');
  const tick = () => {
    const part = video.duration ? video.currentTime / video.duration : 0;
    for (const svg of movie.querySelectorAll('svg')) {
      const left = +svg.dataset.left;
      const x = left + (svg.viewBox.baseVal.width - left) * part;
      const head = svg.querySelector('.head');
      head.setAttribute('x1', x);
      head.setAttribute('x2', x);
    }
    requestAnimationFrame(tick);
  };
  if (video) tick();
}
