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

export const Page = () => <svg {...line} width="16" height="16"><path d="M5 3h7l3 3v11H5zM8 9h4M8 12.5h4" /></svg>;

export const Undo = () => <svg {...line}><path d="M7 4L3.5 7.5 7 11M4 7.5h7.5a4.25 4.25 0 010 8.5H7" /></svg>;

export const Redo = () => <svg {...line}><path d="M13 4l3.5 3.5L13 11M16 7.5H8.5a4.25 4.25 0 000 8.5H13" /></svg>;
