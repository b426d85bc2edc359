// Light or dark before the first paint. A choice made on the page is kept; otherwise the system's is followed.
(() => {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const kept = () => { try { return localStorage.getItem('pg-colours'); } catch { return null; } };
  const apply = () => {
    const dark = (kept() || (system.matches ? 'dark' : 'light')) === 'dark';
    document.documentElement.classList.toggle('wa-dark', dark);
    document.body.classList.toggle('dark', dark);
    document.documentElement.style.colorScheme = dark ? 'dark' : 'light';
  };
  apply();
  system.addEventListener('change', apply);
})();
