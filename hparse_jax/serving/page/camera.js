// A photograph from the camera: in a dialog, or by the phone's own camera where that is all there is.

export async function takePhoto({ dialog, video, shoot, cancel, capture }) {
  if (!navigator.mediaDevices?.getUserMedia) {
    capture.click(); // pages that come without TLS from another machine have no camera
    return null;
  }
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: "environment", width: { ideal: 1920 } },
  });
  try {
    video.srcObject = stream;
    await video.play();
    dialog.showModal();
    const taken = await new Promise((resolve) => {
      shoot.onclick = () => resolve(true);
      cancel.onclick = () => resolve(false);
      dialog.onclose = () => resolve(false);
    });
    if (!taken) return null;
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    return new File([blob], "camera.jpg", { type: "image/jpeg" });
  } finally {
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    dialog.close();
  }
}
