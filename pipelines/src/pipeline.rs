//! One source's GStreamer pipeline:
//!
//! ```text
//! uridecodebin (software decoders, first video stream)  -+
//! videotestsrc (test://)                                -+-> queue -> videoscale -> videoconvert -> RGB caps -> appsink
//! ```
//!
//! Scaling comes before the change to RGB because it is then done on fewer bytes, by faster code: 1280x720
//! H.264 comes out 1.7 times as fast as with the one-step `videoconvertscale`.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use gstreamer_video as video;

use crate::error::IngestError;
use crate::fit::fit;
use crate::settings::Settings;
use crate::test_pattern::TestPattern;

/// Pictures that wait between the pipeline and its thread; the queue for the reader comes after.
const SINK_FRAMES: u32 = 2;
/// Decoded pictures, still of the source's size, that wait to be scaled.
const AHEAD_FRAMES: u32 = 4;
/// Name of the event that travels before the frames whose picture size it holds.
const SIZE_EVENT: &str = "kinetograph-source-size";

/// The beginning of a pipeline, from which its pictures come.
#[derive(Debug)]
pub(crate) enum Head<'a> {
    /// Whatever GStreamer finds at an address, its first video stream decoded.
    Decoded {
        /// The address.
        uri: &'a str,
    },
    /// A test picture. One without an end comes as fast as its frame rate says, like a camera's.
    Test(&'a TestPattern),
}

/// A pipeline that stops when dropped.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pipeline: gst::Pipeline,
    /// The end at which frames and size events come out, in order.
    pub(crate) sink: AppSink,
    /// The bus on which errors are announced.
    pub(crate) bus: gst::Bus,
}

impl Pipeline {
    /// Puts the elements together; nothing moves before [`Pipeline::start`].
    pub(crate) fn build(head: &Head<'_>, settings: &Settings) -> Result<Pipeline, IngestError> {
        gst::init().map_err(|error| IngestError::GStreamer { reason: error.to_string() })?;
        let pipeline = gst::Pipeline::new();
        // A thread's border: the decoder works on the next pictures while this one is scaled.
        let queue = gst::ElementFactory::make("queue").property("max-size-buffers", AHEAD_FRAMES);
        let queue = make(queue.property("max-size-bytes", 0u32).property("max-size-time", 0u64))?;
        // Only what is asked for, whatever the scaled size: black borders would be taken for picture.
        let scale = make(gst::ElementFactory::make("videoscale").property("add-borders", false))?;
        let convert = make(gst::ElementFactory::make("videoconvert"))?;
        let filter = make(gst::ElementFactory::make("capsfilter"))?;
        // Never late, never dropped: a full sink makes the decoder wait.
        let sink = AppSink::builder()
            .sync(false)
            .qos(false)
            .drop(false)
            .max_buffers(SINK_FRAMES)
            .enable_last_sample(false)
            .build();
        let tail = [&queue, &scale, &convert, &filter, sink.upcast_ref()];
        pipeline.add_many(tail).map_err(|error| broken(&error))?;
        gst::Element::link_many(tail).map_err(|error| broken(&error))?;
        let entry = sink_pad(&queue)?;
        let scale_sink = sink_pad(&scale)?;
        follow_size(&scale_sink, filter, settings.max_side);
        limit_threads(&pipeline, settings.decoder_threads);
        match head {
            Head::Decoded { uri } => add_decoder(&pipeline, uri, &entry)?,
            Head::Test(test) => {
                let source = gst::ElementFactory::make("videotestsrc")
                    .property("num-buffers", test.frames.unwrap_or(-1))
                    .property("is-live", test.frames.is_none());
                let source = make(source.property_from_str("pattern", test.pattern))?;
                let caps = gst::Caps::builder("video/x-raw")
                    .field("width", test.width)
                    .field("height", test.height)
                    .field("framerate", gst::Fraction::new(test.fps.0, test.fps.1))
                    .field("pixel-aspect-ratio", gst::Fraction::new(1, 1));
                let shape = make(gst::ElementFactory::make("capsfilter").property("caps", caps.build()))?;
                pipeline.add_many([&source, &shape]).map_err(|error| broken(&error))?;
                gst::Element::link_many([&source, &shape, &queue]).map_err(|error| broken(&error))?;
            }
        }
        let bus = pipeline.bus().ok_or_else(|| broken(&"the pipeline has no bus"))?;
        Ok(Pipeline { pipeline, sink, bus })
    }

    /// Sets the pipeline going. What fails is announced on the bus, except when GStreamer says nothing more
    /// than no.
    pub(crate) fn start(&self) -> Result<(), gst::StateChangeError> {
        self.pipeline.set_state(gst::State::Playing).map(|_| ())
    }

    /// Lets what was read before an error come out to its last frame: decoders keep frames back until they are
    /// told that the stream ends, and an element that fails does not always tell them. Does not wait. False
    /// when there is no such place yet, so nothing can come.
    pub(crate) fn flush_out(&self) -> bool {
        let elements = self.pipeline.iterate_recurse().into_iter().flatten();
        let queues: Vec<gst::Element> = elements
            .filter(|element| element.factory().is_some_and(|factory| factory.name() == "multiqueue"))
            .collect();
        let any = !queues.is_empty();
        // From another thread, as handing over the end may wait for the very frames that this one takes out.
        self.pipeline.call_async(move |_| {
            for pad in queues.iter().flat_map(|queue| queue.sink_pads()) {
                pad.send_event(gst::event::Eos::new());
            }
        });
        any
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "a pipeline did not stop cleanly");
        }
    }
}

/// The size carried by a size event; `None` for any other event.
pub(crate) fn source_size(event: &gst::EventRef) -> Option<(usize, usize)> {
    let structure = event.structure().filter(|structure| structure.name() == SIZE_EVENT)?;
    let side = |name| structure.get::<u32>(name).ok().map(|side| side as usize);
    Some((side("width")?, side("height")?))
}

/// Whenever the decoder announces a picture size, asks for the size that fits it and sends the size itself down
/// with the frames. So a size that changes midway reaches each frame on its own side of the change.
fn follow_size(entry: &gst::Pad, filter: gst::Element, max_side: u32) {
    entry.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |pad, info| {
        let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) else {
            return gst::PadProbeReturn::Ok;
        };
        if let Ok(picture) = video::VideoInfo::from_caps(caps.caps()) {
            let pixel = (picture.par().numer(), picture.par().denom());
            let (width, height) = fit((picture.width(), picture.height()), pixel, max_side);
            let wanted = gst::Caps::builder("video/x-raw")
                .field("format", "RGB")
                .field("width", width as i32)
                .field("height", height as i32);
            filter.set_property("caps", wanted.build());
            let size = gst::Structure::builder(SIZE_EVENT)
                .field("width", picture.width())
                .field("height", picture.height());
            pad.send_event(gst::event::CustomDownstream::new(size.build()));
        }
        gst::PadProbeReturn::Ok
    });
}

/// Adds the part that opens `uri` and decodes its first video stream into `entry`.
fn add_decoder(pipeline: &gst::Pipeline, uri: &str, entry: &gst::Pad) -> Result<(), IngestError> {
    // Sound and subtitles are not decoded at all. Hardware decoders differ from machine to machine in what they
    // give for the same file, so they are left out. Any memory feature must be allowed, or libav's decoders do
    // not count as able.
    let wanted = gst::Caps::builder("video/x-raw").any_features().build();
    let decoder = make(
        gst::ElementFactory::make("uridecodebin")
            .property("uri", uri)
            .property("caps", wanted)
            .property("expose-all-streams", false)
            .property("force-sw-decoders", true),
    )?;
    pipeline.add(&decoder).map_err(|error| broken(&error))?;
    let entry = entry.downgrade();
    decoder.connect_pad_added(move |decoder, pad| {
        // The first stream takes the place; a second finds it taken, unless the first has gone.
        let Some(entry) = entry.upgrade().filter(|entry| !entry.is_linked()) else { return };
        if let Err(error) = pad.link(&entry) {
            gst::element_error!(decoder, gst::StreamError::Format, ("cannot link the video: {error}"));
        }
    });
    Ok(())
}

/// Gives every decoder that comes up `threads` threads; 0 leaves each its own default.
fn limit_threads(pipeline: &gst::Pipeline, threads: u32) {
    if threads == 0 {
        return;
    }
    pipeline.connect_deep_element_added(move |_, _, element| {
        // libav, libvpx and aom, dav1d.
        for name in ["max-threads", "threads", "n-threads"] {
            let decoder = element.factory().is_some_and(|f| f.has_type(gst::ElementFactoryType::DECODER));
            let property = element.find_property(name);
            let property = property.filter(|known| known.flags().contains(gst::glib::ParamFlags::WRITABLE));
            match property.map(|known| known.value_type()) {
                Some(gst::glib::Type::I32) if decoder => element.set_property(name, threads as i32),
                Some(gst::glib::Type::U32) if decoder => element.set_property(name, threads),
                _ => {}
            }
        }
    });
}

fn sink_pad(element: &gst::Element) -> Result<gst::Pad, IngestError> {
    element.static_pad("sink").ok_or_else(|| broken(&format!("{} has no sink pad", element.name())))
}

fn make(builder: gst::element_factory::ElementBuilder<'_>) -> Result<gst::Element, IngestError> {
    builder.build().map_err(|error| broken(&error))
}

fn broken(what: &dyn std::fmt::Display) -> IngestError {
    IngestError::GStreamer { reason: what.to_string() }
}
