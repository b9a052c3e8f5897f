import type { Person } from './shown';

/** A coloured letter. The colour follows the identity, so two people of one letter differ. */
export function Avatar({ person }: { person: Pick<Person, 'id' | 'name'> }) {
  const hue = Number.parseInt(person.id.slice(-6), 16) % 360 || 0;
  const [letter = '?'] = person.name.trim();
  return <span className="avatar" style={{ '--hue': hue } as React.CSSProperties} aria-hidden="true">{letter.toUpperCase()}</span>;
}
