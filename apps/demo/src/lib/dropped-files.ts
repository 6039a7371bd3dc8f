/** Files that were dropped, those of a folder too; and which of them make a model. */

/** A folder is read one level deep: a model's files lie side by side. */
export async function droppedFiles({ items, files }: DataTransfer): Promise<readonly File[]> {
	// Entries are there only while the event is.
	const entries = [...items].map((item) => item.webkitGetAsEntry());
	const plain = [...files];
	const found = await Promise.all(
		entries.map((entry) => (entry?.isDirectory === true ? filesOf(entry as FileSystemDirectoryEntry) : [])),
	);
	const folders = found.flat();
	return folders.length > 0 ? folders : plain;
}

/** One GGUF file is a model by itself; anything else goes as a folder, whose error says what is missing. */
export function modelOf(files: readonly File[]): File | readonly File[] {
	const [only] = files;
	return only !== undefined && files.length === 1 ? only : files;
}

async function filesOf(folder: FileSystemDirectoryEntry): Promise<readonly File[]> {
	const reader = folder.createReader();
	const files: File[] = [];
	// It gives a hundred at a time, and then none.
	for (;;) {
		const entries = await new Promise<FileSystemEntry[]>((resolve, reject) =>
			reader.readEntries(resolve, reject),
		);
		if (entries.length === 0) return files;
		for (const entry of entries)
			if (entry.isFile)
				files.push(
					await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)),
				);
	}
}
