import type { CSSProperties } from 'react';
import type { Person } from './desk';

/** Whose colour it is follows the identity, so two people of one letter differ. */
export function colourOf(id: string): CSSProperties {
  return { '--hue': Number.parseInt(id.slice(-6), 16) % 360 || 0 } as CSSProperties;
}

/** A coloured letter. */
export function Avatar({ person }: { person: Person }) {
  const [letter = '?'] = person.name.trim();
  return <span className="avatar" style={colourOf(person.id)} aria-hidden="true">{letter.toUpperCase()}</span>;
}
