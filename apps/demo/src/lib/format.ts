/** Numbers as the page writes them: short, of steady width, in decimal units where files and downloads have them. */

const thin = "\u202f";

/** 98.4 MB, as servers and file managers count. */
export function formatBytes(bytes: number): string {
	if (bytes === Number.POSITIVE_INFINITY) return "no limit";
	const units = ["B", "kB", "MB", "GB", "TB"];
	let value = bytes;
	let unit = 0;
	while (value >= 999.5 && unit < units.length - 1) {
		value /= 1000;
		unit++;
	}
	return `${unit === 0 ? value : significant(value)}${thin}${units[unit]}`;
}

/** Three significant digits, without an exponent. */
export function significant(value: number): string {
	if (!Number.isFinite(value)) return "–";
	if (value >= 100) return formatCount(Math.round(value));
	return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** 12 345, with thin spaces. */
export function formatCount(value: number): string {
	return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, thin);
}

export function formatPercent(share: number): string {
	return `${share < 0.1 ? (share * 100).toFixed(1) : Math.round(share * 100)}${thin}%`;
}
