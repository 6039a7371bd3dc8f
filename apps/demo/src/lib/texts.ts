/** The book that comes with the page, fetched once, when it is first wanted. */

let book: Promise<string> | undefined;

export function loadText(): Promise<string> {
	book ??= fetchText().catch((error: unknown) => {
		book = undefined;
		throw error;
	});
	return book;
}

async function fetchText(): Promise<string> {
	const response = await fetch(new URL("moby-dick.txt", document.baseURI));
	if (!response.ok) throw new Error(`The book could not be fetched: the server answers ${response.status}.`);
	return response.text();
}
