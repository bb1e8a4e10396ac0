// The theme searches for each word of a question as the beginning of one: "how do I ..." finds all pages with an "i".
// Leave such words out of what is sent to its worker; a message of another form passes as it is.
const FILLERS = new Set(
  "a an and are as at be by can do does for from how i if in is it me my of on not or should that the to use what when where which why with".split(" "),
);
const post = Worker.prototype.postMessage;
Worker.prototype.postMessage = function (message, ...rest) {
  if (message?.type === 2 && typeof message.data === "string") {
    const words = message.data.replace(/[,.:;?!]+(?=\s|$)/g, "").split(/\s+/).filter((word) => !FILLERS.has(word.toLowerCase()));
    if (words.length) message = { ...message, data: words.join(" ") };
  }
  return post.call(this, message, ...rest);
};
