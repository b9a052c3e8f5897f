const line = {
  width: 20,
  height: 20,
  viewBox: '0 0 20 20',
  fill: 'none',
  stroke: 'currentColor',
  strokeWidth: 1.8,
  strokeLinecap: 'round',
  strokeLinejoin: 'round',
  'aria-hidden': true,
} as const;

export const Menu = () => <svg {...line}><path d="M3 5.5h14M3 10h14M3 14.5h14" /></svg>;

export const Close = () => <svg {...line}><path d="M5 5l10 10M15 5L5 15" /></svg>;

export const Gear = () => (
  <svg {...line}><path d="M3 6h7M14 6h3M3 14h3M10 14h7" /><circle cx="12" cy="6" r="2" /><circle cx="8" cy="14" r="2" /></svg>
);

export const Pen = () => <svg {...line}><path d="M4 16l.8-3.4L13 4.4l2.6 2.6-8.2 8.2z" /></svg>;

export const Send = () => <svg {...line}><path d="M10 16V4M4.5 9.5L10 4l5.5 5.5" /></svg>;

export const Down = () => <svg {...line}><path d="M10 4v12M4.5 10.5L10 16l5.5-5.5" /></svg>;

export const Final = () => <svg {...line} width="14" height="14"><path d="M3.5 10.5l4.5 4.5 8.5-10" strokeWidth="2.4" /></svg>;

export const Tentative = () => <svg {...line} width="14" height="14"><circle cx="10" cy="10" r="7" strokeDasharray="3.2 4.1" strokeWidth="2.2" /></svg>;

export const Failed = () => <svg {...line} width="14" height="14"><path d="M5 5l10 10M15 5L5 15" strokeWidth="2.4" /></svg>;
